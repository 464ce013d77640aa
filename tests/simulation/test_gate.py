import pytest

from autograms.conversation.record import Call, Memory, Prompt, Turn
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.gate import FINDINGS, userbot_findings
from autograms.simulation.scenarios import Scenario

SECRET = "You are Ann and you are angry since your parcel with the blue vase never came"


def conversation(*said, written=True, answer="Let me look."):
    memory = Memory()
    for text in said:
        memory.turns += [Turn("user", text, 0), Turn("assistant", answer, 0)]
        if written:
            memory.calls.append(Call("reply_instruction", "text", Prompt(), text, side="user"))
    return memory


def findings(memory, turns=None, **kwargs):
    turns = turns or sum(turn.role == "user" for turn in memory.turns)
    return userbot_findings(memory, Scenario("key", turns, user_kwargs=kwargs))


@pytest.mark.parametrize(
    ("said", "finding"),
    [
        (["Where is it?", "How can I help you today?"], "role flip (turn 2)"),
        (["Assistant: of course."], "role flip (turn 1)"),
        (["As an AI, I cannot."], "role flip (turn 1)"),
        (["Thanks, bye!", "Goodbye, take care!"], "goodbye loop (turn 2)"),
        (["Where is my parcel now?", "It is late.", "where is my parcel, now"], "repeated turn (turn 3)"),
        (["  \n"], "empty turn (turn 1)"),
    ],
)
def test_a_fault_is_found(said, finding):
    assert findings(conversation(*said)) == [finding]
    assert finding.partition(" (")[0] in FINDINGS


@pytest.mark.parametrize(
    "said",
    [
        ["Where is my parcel?", "Yes please.", "Yes please.", "Thanks, bye!"],
        ["Can you help me? How can I pay?", "What can I do?"],
        ["Is there anything else to sign?"],
        ["My vase never came, and I am angry."],
    ],
)
def test_ordinary_turns_are_no_faults(said):
    assert findings(conversation(*said), request=SECRET) == []


def test_an_echo_of_the_chatbot_is_a_role_flip():
    memory = conversation("Let me look into that.", answer="Let me look into that.")
    assert findings(memory) == ["role flip (turn 1)"]


def test_a_leak_is_found_where_a_model_wrote_the_turn():
    said = "Well: you are angry since your parcel with the blue vase never came!"
    assert findings(conversation(said), persona={"story": [SECRET]}) == ["scenario leaked (turn 1)"]
    assert findings(conversation(said, written=False), persona={"story": [SECRET]}) == []


def test_an_early_stop_is_found():
    assert findings(conversation("Hello there."), turns=3) == ["early stop (turn 2)"]


def test_a_chatbot_that_ends_is_no_early_stop():
    memory = conversation("Hello there.")
    memory.turns[-1].content = None
    assert findings(memory, turns=3) == []


def test_a_failed_chatbot_is_no_early_stop():
    memory = conversation("Hello there.")
    memory.status = "failed"
    assert findings(memory, turns=3) == []


BOT = 'def chatbot():\n    while True:\n        reply("Let me look.")\n'
FLIPPING = """
def chatbot():
    while True:
        reply_instruction("Speak as the user.")
"""


def simulate(load, answers, on_userbot_fault, **options):
    userbot = load("user", FLIPPING, model=ScriptedModel(answers))
    simulator = Simulator(load("bot", BOT, model=ScriptedModel()), userbot, on_userbot_fault=on_userbot_fault)
    return simulator.run(plain_scenarios(1, num_turns=1, seed=0), **options)


def test_faults_are_kept_with_their_findings_and_counted_apart(load):
    simulation = simulate(load, ["How can I help you?"], "keep")
    assert simulation.memories[0].findings == ["role flip (turn 1)"]
    assert (simulation.memories[0].status, simulation.progress.faults, simulation.progress.failed) == (
        "completed",
        1,
        0,
    )


def test_a_dropped_conversation_fails_on_the_users_side_and_is_not_paid_again(load):
    first = simulate(load, ["How can I help you?"], "drop")
    memory = first.memories[0]
    assert (memory.status, memory.error, memory.error_side) == ("failed", "UserbotFault", "user")
    again = simulate(load, [], "drop", previous=first.memories)
    assert (again.memories[0].error, again.progress.paid) == ("UserbotFault", 0)


def test_a_fault_is_tried_again(load, tmp_path):
    journal = tmp_path / "calls.journal"
    answers = ["How can I help you?", "", "Where is my parcel?"]
    first = simulate(load, answers, "retry", journal=journal)
    assert (first.memories[0].findings, first.progress.paid) == ([], 3)
    assert first.memories[0].transcript()[1]["content"] == "Where is my parcel?"
    for known in ({"previous": first.memories}, {"journal": journal}):
        again = simulate(load, [], "retry", **known)
        assert (again.progress.paid, again.memories[0].transcript()) == (0, first.memories[0].transcript())


def test_tries_end(load):
    simulation = simulate(load, ["How can I help you?"] * 3, "retry")
    assert (simulation.memories[0].findings, simulation.progress.paid) == (["role flip (turn 1)"], 3)
