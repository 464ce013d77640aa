import gc
import json
import os
import signal
from textwrap import dedent

import pytest

from autograms import Autogram
from autograms.conversation.journal import read_journal
from autograms.errors import CredentialsError, ModelNameError
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.scenarios import scenarios_from_rows
from tests.simulation.conftest import CHATBOT, USERBOT, model_at
from tests.simulation.processes import start, wait_while_it_runs


def without_times(memories):
    for memory in memories:
        for call in memory.calls:
            call.milliseconds, call.reused = 0.0, False
    return memories


def answering(request):
    return "Yes" if request.kind == "choice" else f"answer to {len(request.messages)} messages"


def test_the_chatbot_speaks_first_and_answers_every_user_turn(load):
    chatbot = load("bot", 'def chatbot():\n    while True:\n        reply("bot")\n', model=ScriptedModel())
    userbot = load("user", 'def chatbot():\n    while True:\n        reply("user")\n', model=ScriptedModel())
    (memory,) = Simulator(chatbot, userbot).run(plain_scenarios(1, num_turns=2, seed=0)).memories
    assert [turn["content"] for turn in memory.transcript()] == ["bot", "user", "bot", "user", "bot"]


def test_the_user_goes_first_where_the_scenario_says_so(load):
    chatbot = load("bot", 'def chatbot():\n    while True:\n        reply("bot")\n', model=ScriptedModel())
    userbot = load("user", 'def chatbot():\n    while True:\n        reply("user")\n', model=ScriptedModel())
    scenarios = scenarios_from_rows([{"user_goes_first": True, "num_turns": 2}])
    (memory,) = Simulator(chatbot, userbot).run(scenarios).memories
    assert [turn["content"] for turn in memory.transcript()] == ["user", "bot", "user", "bot"]


def test_kwargs_reach_both_programs(load):
    chatbot = load("bot", CHATBOT, model=ScriptedModel(answering))
    userbot = load("user", USERBOT, model=ScriptedModel())
    scenarios = scenarios_from_rows([{"chatbot_kwargs": {"topic": "coffee"}, "user_kwargs": {"name": "Bo"}}])
    (memory,) = Simulator(chatbot, userbot).run(scenarios).memories
    assert ("system", "You sell coffee.", None) in memory.messages
    assert memory.turns[2].content.startswith("Bo asks")


def test_a_plain_user_plays_where_none_is_given(load):
    model = ScriptedModel(lambda request: "said")
    chatbot = load("bot", 'def chatbot():\n    while True:\n        reply("bot")\n', model=model)
    (memory,) = Simulator(chatbot).run(plain_scenarios(1, num_turns=1, seed=0)).memories
    assert [turn["content"] for turn in memory.transcript()] == ["bot", "said", "bot"]
    assert [call.side for call in memory.calls] == ["user"]
    assert memory.prompt_messages(memory.calls[0].prompt)[0]["role"] == "system"


def test_a_conversation_ends_where_the_program_ends(load):
    chatbot = load("bot", 'def chatbot():\n    reply("bye")\n', model=ScriptedModel())
    userbot = load("user", USERBOT, model=ScriptedModel())
    (memory,) = Simulator(chatbot, userbot).run(plain_scenarios(1, num_turns=5, seed=0)).memories
    assert memory.status == "completed"
    assert len(memory.transcript()) == 2


def test_one_failure_is_one_failed_memory(load):
    body = 'def chatbot(n):\n    reply("a")\n    reply(str(1 // n))\n'
    chatbot = load("bot", body, model=ScriptedModel())
    userbot = load("user", USERBOT, model=ScriptedModel())
    scenarios = scenarios_from_rows([{"chatbot_kwargs": {"n": n}} for n in (1, 0, 2)])
    simulation = Simulator(chatbot, userbot).run(scenarios)
    assert [memory.status for memory in simulation.memories] == ["completed", "failed", "completed"]
    failed = simulation.memories[1]
    assert (failed.error, failed.error_side) == ("ZeroDivisionError", "chatbot")
    assert failed.error_place.endswith("bot.py:8")
    assert simulation.progress.failed == 1


def test_the_users_failure_is_the_users(load):
    chatbot = load("bot", 'def chatbot():\n    while True:\n        reply("a")\n', model=ScriptedModel())
    userbot = load("user", 'def chatbot():\n    raise RuntimeError("not today")\n', model=ScriptedModel())
    (memory,) = Simulator(chatbot, userbot).run(plain_scenarios(1, num_turns=1, seed=0)).memories
    assert (memory.status, memory.error_side, memory.error_message) == ("failed", "user", "not today")


def test_a_runaway_program_fails_alone(load):
    body = 'def chatbot(n):\n    while n:\n        pass\n    reply("fine")\n'
    from autograms import AutogramConfig

    chatbot = load("bot", body, model=ScriptedModel(), autogram_config=AutogramConfig(watchdog_seconds=0.3))
    userbot = load("user", USERBOT, model=ScriptedModel())
    scenarios = scenarios_from_rows([{"chatbot_kwargs": {"n": n}} for n in (0, 1, 0)])
    memories = Simulator(chatbot, userbot).run(scenarios).memories
    assert [memory.status for memory in memories] == ["completed", "failed", "completed"]
    assert memories[1].error == "RunawayError"


@pytest.mark.parametrize("concurrency", [1, 7, 256])
def test_memories_do_not_depend_on_concurrency(load, endpoint, concurrency):
    endpoint.script(choice="hash", latency={"median": 0.002, "sigma": 1.0, "longest": 0.03})
    made = []
    for number in (concurrency, 16):
        model = model_at(endpoint.url)
        chatbot = load("bot", CHATBOT, model=model, supervisor_mode=True)
        userbot = load("user", USERBOT, model=model)
        scenarios = plain_scenarios(30, num_turns=2, seed=3)
        made.append(without_times(Simulator(chatbot, userbot, concurrency=number).run(scenarios).memories))
    assert made[0] == made[1]
    assert all(memory.status == "completed" for memory in made[0])


def test_an_answer_that_is_there_is_not_paid_again(load, endpoint, tmp_path):
    def simulate(instruction="Thank the customer.", **options):
        model = model_at(endpoint.url)
        chatbot = load("bot", CHATBOT.replace("Thank the customer.", instruction), model=model)
        userbot = load("user", USERBOT, model=model)
        return Simulator(chatbot, userbot).run(plain_scenarios(5, num_turns=2, seed=0), **options)

    first = simulate()
    assert (first.progress.paid, first.progress.reused) == (30, 0)
    again = simulate(previous=first.memories)
    assert (again.progress.paid, again.progress.reused) == (0, 30)
    assert without_times(again.memories) == without_times(first.memories)
    fresh = simulate(previous=first.memories, fresh=True)
    assert fresh.progress.paid == 30
    edited = simulate("Thank the customer warmly.", previous=first.memories)
    assert 0 < edited.progress.reused < 30


def test_an_edit_pays_for_what_comes_after_it(load, endpoint):
    lines = [f'    reply_instruction("Say {number}.")\n' for number in range(10)]

    def simulate(body, previous=()):
        model = model_at(endpoint.url)
        chatbot = load("bot", "@autograms_function()\ndef chatbot():\n" + body, model=model)
        userbot = load("user", 'def chatbot():\n    while True:\n        reply("go on")\n', model=model)
        return Simulator(chatbot, userbot).run(plain_scenarios(4, num_turns=9, seed=0), previous=previous)

    first = simulate("".join(lines))
    assert first.progress.paid == 40
    commented = simulate("    # a comment\n" + "".join(lines), first.memories)
    assert commented.progress.paid == 0
    last = simulate("".join(lines[:-1]) + '    reply_instruction("Say goodbye.")\n', first.memories)
    assert (last.progress.paid, last.progress.reused) == (4, 36)


def test_a_new_model_pays_for_everything(load, endpoint):
    def simulate(name, previous=()):
        from autograms.models import OpenAIModel

        model = OpenAIModel(name, base_url=endpoint.url, api_key="none")
        chatbot = load("bot", CHATBOT, model=model)
        userbot = load("user", USERBOT, model=model)
        return Simulator(chatbot, userbot).run(plain_scenarios(2, num_turns=1, seed=0), previous=previous)

    first = simulate("one")
    assert simulate("two", first.memories).progress.reused == 0


def test_the_journal_alone_is_enough(load, endpoint, tmp_path):
    def simulate(**options):
        model = model_at(endpoint.url)
        chatbot = load("bot", CHATBOT, model=model)
        userbot = load("user", USERBOT, model=model)
        return Simulator(chatbot, userbot).run(plain_scenarios(5, num_turns=1, seed=0), **options)

    journal = tmp_path / "deep" / "journal.jsonl"
    first = simulate(journal=journal)
    assert len(list(read_journal(journal))) == first.progress.paid == 20
    assert simulate(journal=journal).progress.paid == 0
    assert simulate(journal=journal, previous=first.memories).progress.paid == 0
    assert simulate(journal=journal, fresh=True).progress.paid == 20


def test_one_conversation_that_is_refused_stops_no_other(load, endpoint):
    endpoint.script(failures=[{"status": 400, "contains": "Bo asks", "message": "no Bo here"}])
    model = model_at(endpoint.url)
    chatbot = load("bot", CHATBOT, model=model)
    userbot = load("user", USERBOT, model=model)
    scenarios = scenarios_from_rows([{"user_kwargs": {"name": name}} for name in ("Ann", "Bo", "Cy")])
    memories = Simulator(chatbot, userbot).run(scenarios).memories
    assert [memory.status for memory in memories] == ["completed", "failed", "completed"]
    assert memories[1].error == "EndpointError"


def test_a_refused_key_ends_the_simulation(load, endpoint):
    endpoint.script(key="right")
    model = model_at(endpoint.url)
    chatbot = load("bot", CHATBOT, model=model)
    with pytest.raises(CredentialsError):
        Simulator(chatbot, load("user", USERBOT, model=model)).run(plain_scenarios(50, num_turns=1, seed=0))
    assert endpoint.stats()["requests"] <= 64


def test_an_unknown_model_is_named(load):
    with pytest.raises(ModelNameError, match="did you mean"):
        Simulator(load("bot", CHATBOT, model="opena/gpt")).run(plain_scenarios(1, num_turns=1, seed=0))


def test_progress_is_reported(load):
    seen = []
    chatbot = load("bot", CHATBOT, model=ScriptedModel(answering))
    userbot = load("user", USERBOT, model=ScriptedModel())
    simulation = Simulator(chatbot, userbot).run(
        plain_scenarios(3, num_turns=1, seed=0), on_progress=lambda progress: seen.append(progress.finished)
    )
    assert seen[-1] == 3
    assert simulation.progress.calls == simulation.progress.paid == 12


def test_saved_memories_are_continued(load):
    chatbot = load("bot", 'def chatbot():\n    reply("one")\n    reply("two")\n', model=ScriptedModel())
    userbot = load("user", USERBOT, model=ScriptedModel())
    _, memory = chatbot.reply(None)
    saved = chatbot.serialize(memory)
    (continued,) = (
        Simulator(chatbot, userbot)
        .run(scenarios_from_rows([{"user_goes_first": True, "num_turns": 1}]), chatbot_memory=saved)
        .memories
    )
    assert [turn["content"] for turn in continued.transcript() if turn["role"] == "assistant"] == ["one", "two"]


PROGRAM = """
import sys
from pathlib import Path
from autograms import Autogram
from autograms.simulation import Simulator, plain_scenarios
from tests.simulation.conftest import model_at

folder, url = Path(sys.argv[1]), sys.argv[2]
model = model_at(url)
chatbot = Autogram.from_file(folder / "bot.py", model=model)
userbot = Autogram.from_file(folder / "user.py", model=model)
simulation = Simulator(chatbot, userbot, concurrency=8).run(
    plain_scenarios(40, num_turns=2, seed=0), journal=folder / "journal.jsonl"
)
print(simulation.progress.paid, simulation.progress.reused)
"""


def test_kill_9_repeats_only_the_calls_in_flight(write, endpoint, tmp_path):
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(latency=0.02)
    needed, in_flight = 40 * 3 * 2, 8
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, lambda: endpoint.stats()["requests"] >= needed // 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(tmp_path / "journal.jsonl", "ab") as journal:
        journal.write(b'{"torn": ')
    second = start(PROGRAM, tmp_path, endpoint.url)
    output, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    paid, reused = map(int, output.split())
    assert paid + reused == needed
    assert endpoint.stats()["requests"] <= needed + in_flight


def test_ctrl_c_stops_soon_and_keeps_what_is_finished(write, endpoint, tmp_path):
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(failures=[{"status": "hang", "after": 30}])
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, lambda: endpoint.stats()["requests"] == 30 + 8)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # what is in flight is never answered: nobody has waited for it
    assert 30 - 8 <= len(list(read_journal(tmp_path / "journal.jsonl"))) <= 30
    assert process.returncode != 0


def test_the_journal_holds_no_keys(load, endpoint, tmp_path):
    model = model_at(endpoint.url)
    chatbot = load("bot", CHATBOT, model=model)
    Simulator(chatbot, load("user", USERBOT, model=model)).run(
        plain_scenarios(1, num_turns=1, seed=0), journal=tmp_path / "journal.jsonl"
    )
    entry = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])
    assert set(entry) == {
        *("scenario", "request", "number", "text", "model", "input_tokens", "output_tokens", "cost_usd"),
        "probabilities",
    }
    assert os.environ.get("OPENAI_API_KEY") is None


def test_supervised_calls_are_not_paid(load):
    body = """
    def formal(instruction):
        return SupervisorReturn("Dear customer.", rejected_output="yo", score=1, tags=["formal"])

    @autograms_function()
    def chatbot():
        while True:
            reply_instruction("Answer.", supervisor=formal)
    """
    chatbot = load("bot", body, model=ScriptedModel(), supervisor_mode=True)
    simulation = Simulator(chatbot, load("user", USERBOT, model=ScriptedModel())).run(
        plain_scenarios(1, num_turns=1, seed=0)
    )
    assert (simulation.progress.calls, simulation.progress.paid) == (2, 0)
    call = simulation.memories[0].calls[0]
    assert (call.output, call.rejected, call.score, call.tags) == ("Dear customer.", ("yo",), 1.0, ("formal",))
    assert isinstance(Simulator(chatbot).userbot, Autogram)


def test_programs_end_with_their_conversations(load):
    body = """
    ended = []

    def chatbot():
        try:
            while True:
                reply("a")
        finally:
            ended.append(1)
    """
    chatbot = load("bot", body, model=ScriptedModel())
    userbot = load("user", USERBOT, model=ScriptedModel())
    gc.disable()
    try:
        memories = Simulator(chatbot, userbot).run(plain_scenarios(3, num_turns=1, seed=0)).memories
    finally:
        gc.enable()
    assert [memory.status for memory in memories] == ["completed"] * 3
    assert len(chatbot.program.module.ended) == 3


def test_a_simulation_leaves_the_garbage_collector_as_it_was(load):
    chatbot = load("bot", 'def chatbot():\n    reply("a")\n', model=ScriptedModel())
    before = gc.get_threshold()
    Simulator(chatbot, load("user", USERBOT, model=ScriptedModel())).run(plain_scenarios(1, num_turns=1, seed=0))
    assert gc.get_threshold() == before


STEPS = """
from pathlib import Path

def look(where):
    with open(where, "a") as file:
        file.write("x")
    return len(Path(where).read_text())

@autograms_function()
def chatbot(where):
    while True:
        count = step(look, where)
        reply_instruction(f"Tell the customer that {count} have come.")
"""


def test_a_step_is_not_taken_again(load, endpoint, tmp_path):
    where = tmp_path / "visitors"

    def simulate(body=STEPS, **options):
        model = model_at(endpoint.url)
        chatbot = load("bot", body, model=model)
        scenarios = scenarios_from_rows([{"num_turns": 1, "chatbot_kwargs": {"where": str(where)}}])
        return Simulator(chatbot, load("user", USERBOT, model=model)).run(scenarios, **options)

    first = simulate()
    assert (first.progress.paid, len(where.read_text())) == (2, 2)
    again = simulate(previous=first.memories)
    assert (again.progress.paid, len(where.read_text())) == (0, 2)
    edited = simulate(STEPS.replace("len(Path(where).read_text())", "str(Path(where))"), previous=first.memories)
    assert (edited.progress.paid, len(where.read_text())) == (2, 4)


def test_the_journal_keeps_steps(load, endpoint, tmp_path):
    where, journal = tmp_path / "visitors", tmp_path / "calls.journal"
    model = model_at(endpoint.url)
    for _ in range(2):
        chatbot = load("bot", STEPS, model=model)
        scenarios = scenarios_from_rows([{"num_turns": 1, "chatbot_kwargs": {"where": str(where)}}])
        Simulator(chatbot, load("user", USERBOT, model=model)).run(scenarios, journal=journal)
    assert (len(where.read_text()), endpoint.stats()["requests"]) == (2, 2)


def test_a_program_inside_a_program_is_paid_once(load, endpoint):
    body = """
    from autograms import Autogram

    def inner_bot():
        reply_instruction("Say something deep.")

    inner = Autogram(inner_bot, model=MODEL)

    @autograms_function()
    def chatbot():
        while True:
            text, _ = inner.reply()
            reply(text)
    """
    source = f"from tests.simulation.conftest import model_at\nMODEL = model_at({endpoint.url!r})\n" + dedent(body)

    def simulate(**options):
        model = model_at(endpoint.url)
        return Simulator(load("bot", source, model=model), load("user", USERBOT, model=model)).run(
            plain_scenarios(1, num_turns=1, seed=0), **options
        )

    first = simulate()
    assert (first.memories[0].status, first.progress.paid, endpoint.stats()["requests"]) == ("completed", 2, 2)
    assert simulate(previous=first.memories).progress.paid == 0
    assert endpoint.stats()["requests"] == 2
