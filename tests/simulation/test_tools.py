"""Simulated programs whose model calls tools: over real HTTP, paid once, kept across kill -9, planned, branched."""

import json
import signal
import threading

import pytest

from autograms.conversation.journal import read_journal
from autograms.conversation.parquet import read_memories, write_memories
from autograms.conversation.pickle_file import load_pickle, save_pickle
from autograms.conversation.record import STUDENT
from autograms.datasets import build_dpo
from autograms.models import ScriptedModel
from autograms.models.unasked import unasked_model
from autograms.rounds import own_mistakes
from autograms.settings import DatasetSettings
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.branching import Branches
from autograms.simulation.budget import Budget
from autograms.simulation.plan import plan
from tests.simulation.conftest import model_at
from tests.simulation.processes import start, wait_while_it_runs

CHATBOT = '''
from pathlib import Path

RUNS = Path({runs!r})

def lookup(order: int) -> dict:
    """Look an order up."""
    with RUNS.open("a") as file:
        file.write(f"{{order}}\\n")
    return {{"order": order, "status": "shipped"}}

def formal(instruction):
    return SupervisorReturn("It was dispatched.", rejected_output="dunno")

@autograms_function()
def chatbot():
    reply("Hello.")
    while True:
        reply_instruction("Answer.", tools=[lookup], supervisor=formal)
'''
USERBOT = """
@autograms_function()
def chatbot():
    while True:
        reply(f"Where is order {random.randint(1, 10**9)}?")
"""
RULES = [
    {"last": "shipped", "answer": "It is shipped."},
    {"contains": '"tools"', "tool_calls": [{"name": "lookup", "arguments": {"order": 7}}]},
]
SCENARIOS = plain_scenarios(3, num_turns=2, seed=0)


@pytest.fixture
def simulator(load, tmp_path):
    def simulator(model, chatbot=CHATBOT, *, runs="runs", **options):
        body = chatbot.format(runs=str(tmp_path / runs))
        return Simulator(load("bot", body, model=model, **options), load("user", USERBOT, model=model))

    return simulator


def runs(tmp_path):
    path = tmp_path / "runs"
    return path.read_text().splitlines() if path.exists() else []


def test_what_the_endpoint_is_sent(simulator, endpoint, tmp_path):
    endpoint.script(record=True, answers=RULES)
    made = simulator(model_at(endpoint.url)).run(SCENARIOS[:1])
    (memory,) = made.memories
    assert memory.status == "completed", memory.error_message
    bodies = [request["body"] for request in endpoint.requests()]
    assert [[message["role"] for message in body["messages"]] for body in bodies] == [
        ["assistant", "user"],
        ["assistant", "user", "assistant", "tool"],
        ["assistant", "user", "assistant", "tool", "assistant", "user"],
        ["assistant", "user", "assistant", "tool", "assistant", "user", "assistant", "tool"],
    ]
    for body in bodies:
        (tool,) = body["tools"]
        assert (tool["type"], tool["function"]["name"]) == ("function", "lookup")
        assert "tool_choice" not in body
    called, result = bodies[1]["messages"][2:]
    assert called["content"] is None
    assert called["tool_calls"][0]["id"] == result["tool_call_id"]
    assert result["content"] == '{"order": 7, "status": "shipped"}'
    assert runs(tmp_path) == ["7", "7"]
    assert memory.transcript()[-1]["content"] == "It is shipped."


def test_nothing_is_paid_or_run_twice(simulator, endpoint, tmp_path):
    endpoint.script(answers=RULES)
    first = simulator(model_at(endpoint.url)).run(SCENARIOS)
    asked, ran = endpoint.stats()["requests"], runs(tmp_path)
    assert (asked, len(ran)) == (3 * 2 * 2, 3 * 2)
    file = tmp_path / "memories.parquet"
    write_memories(file, first.memories)
    again = simulator(model_at(endpoint.url)).run(SCENARIOS, previous=read_memories(file))
    assert (again.progress.paid, again.progress.reused) == (0, asked)
    assert (endpoint.stats()["requests"], runs(tmp_path)) == (asked, ran)
    assert [memory.transcript() for memory in again.memories] == [memory.transcript() for memory in first.memories]


def test_another_tool_is_paid_again(simulator, endpoint, tmp_path):
    endpoint.script(answers=RULES)
    first = simulator(model_at(endpoint.url)).run(SCENARIOS)
    changed = CHATBOT.replace("Look an order up.", "Find an order.")
    unasked = unasked_model("openai/test-model", base_url=endpoint.url)
    found = plan(simulator(unasked, changed), SCENARIOS, previous=first.memories)
    assert (found.stale, found.reasons) == (3, {"settings": 3})
    again = simulator(model_at(endpoint.url), changed).run(SCENARIOS, previous=first.memories)
    assert again.progress.paid == 12


def test_a_plan_of_what_was_never_simulated_runs_no_tool(simulator, tmp_path):
    found = plan(simulator(unasked_model("openai/test-model")), SCENARIOS)
    assert runs(tmp_path) == []
    assert found.rehearsed
    assert found.calls == 3 * 2 * 2


def test_a_budget_counts_every_answer(simulator, endpoint):
    endpoint.script(answers=RULES)
    made = simulator(model_at(endpoint.url)).run(SCENARIOS[:1], budget=Budget(calls=3))
    assert (made.progress.paid, made.memories[0].status) == (3, "truncated")
    rest = simulator(model_at(endpoint.url)).run(SCENARIOS[:1], previous=made.memories)
    assert (rest.progress.paid, rest.progress.reused, rest.memories[0].status) == (1, 3, "completed")


def test_a_branch_at_a_call_of_tools_runs_none_of_those_before_it(simulator, endpoint, tmp_path):
    endpoint.script(answers=RULES)
    first = simulator(model_at(endpoint.url)).run(SCENARIOS[:1])
    before = endpoint.stats()["requests"]
    made = simulator(model_at(endpoint.url)).branch(first.memories, Branches("reply_instruction#3", 1))
    assert [call.kind for call in made.memories[0].calls] == [call.kind for call in first.memories[0].calls]
    assert endpoint.stats()["requests"] == before + 2
    assert runs(tmp_path) == ["7", "7", "7"]


def test_the_student_is_asked_with_the_tools(load, tmp_path):
    calls = {"tool_calls": [{"name": "lookup", "arguments": {"order": 7}}]}
    model = ScriptedModel(lambda request: "draft" if request.messages[-1]["role"] == "tool" else calls)
    student = ScriptedModel([calls, "my own"], name="scripted/student")
    chatbot = load("bot", CHATBOT.format(runs=str(tmp_path / "runs")), model=model, supervisor_mode=True)
    made = Simulator(chatbot, load("user", USERBOT, model=model), student=student).run(SCENARIOS[:1])
    (memory,) = made.memories
    assert memory.status == "completed", memory.error_message
    assert [request.params["tools"][0]["function"]["name"] for request in student.requests] == ["lookup"] * 2
    assert [call.kind for call in memory.calls if call.side == STUDENT] == ["tool_calls", "text"]
    answers = [call for call in memory.calls if call.supervised]
    assert [call.rejected for call in answers] == [("dunno",), ("dunno", "my own")]
    report = build_dpo([memory], DatasetSettings(validation_fraction=0)).report
    assert report.dropped["the student called tools where a supervisor answered: no pair"] == 1
    again = own_mistakes(ScriptedModel([calls, "my own"]), [memory], DatasetSettings(validation_fraction=0))
    assert (again.asked, again.malformed, again.calling, again.pairs["rejected"].to_pylist()) == (2, 0, 1, ["my own"])


def test_every_stored_form_keeps_them(simulator, endpoint, tmp_path):
    endpoint.script(answers=RULES)
    (memory,) = simulator(model_at(endpoint.url), supervisor_mode=True).run(SCENARIOS[:1]).memories
    assert {call.kind for call in memory.calls} == {"tool_calls", "step", "draft", "text"}
    write_memories(tmp_path / "memories.parquet", [memory])
    save_pickle(tmp_path / "memory.pkl", memory)
    assert read_memories(tmp_path / "memories.parquet") == [memory]
    assert load_pickle(tmp_path / "memory.pkl") == memory
    chatbot = simulator(model_at(endpoint.url)).chatbot
    assert chatbot.deserialize(chatbot.serialize(memory)) == memory


PROGRAM = """
import sys
from pathlib import Path

from autograms import Autogram
from autograms.simulation import Simulator, plain_scenarios
from tests.simulation.conftest import model_at

folder, url = Path(sys.argv[1]), sys.argv[2]
model = model_at(url)
chatbot, userbot = (Autogram.from_file(folder / f"{name}.py", model=model) for name in ("bot", "user"))
simulation = Simulator(chatbot, userbot, concurrency=4).run(
    plain_scenarios(20, num_turns=2, seed=0), journal=folder / "journal.jsonl"
)
print(simulation.progress.paid, simulation.progress.reused)
"""


def test_kill_9_repeats_only_what_was_in_flight(write, endpoint, tmp_path):
    write("bot", CHATBOT.format(runs=str(tmp_path / "runs")))
    write("user", USERBOT)
    endpoint.script(latency=0.02, answers=RULES)
    needed, in_flight = 20 * 2 * 2, 4
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, lambda: endpoint.stats()["requests"] >= needed // 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    entries = list(read_journal(tmp_path / "journal.jsonl"))
    assert any("tool_calls" in entry for entry in entries)
    second = start(PROGRAM, tmp_path, endpoint.url)
    output, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert sum(map(int, output.split())) == needed
    assert endpoint.stats()["requests"] <= needed + in_flight
    assert 40 <= len(runs(tmp_path)) <= 40 + in_flight


# --------------------------------------------------------------------------------------------------- off the event loop

BLOCKING = """
import threading

BARRIER = threading.Barrier({count})

def meet() -> str:
    BARRIER.wait(60)
    return threading.current_thread().name

def chatbot():
    {body}
"""


@pytest.mark.parametrize("body", ["reply(step(meet))", 'reply_instruction("Meet.", tools=[meet])'])
def test_steps_that_block_hold_up_neither_the_loop_nor_one_another(load, body):
    """Each of forty conversations blocks in a step until all forty do: none may wait for another's thread."""
    calls = {"tool_calls": [{"name": "meet", "arguments": {}}]}
    model = ScriptedModel(lambda request: "met" if request.messages[-1]["role"] == "tool" else calls)
    chatbot = load("bot", BLOCKING.format(count=40, body=body), model=model)
    made = Simulator(chatbot, load("user", USERBOT, model=model), concurrency=40).run(
        plain_scenarios(40, num_turns=1, seed=0)
    )
    assert {memory.status for memory in made.memories} == {"completed"}, made.memories[0].error_message
    threads = {json.loads(call.output) for memory in made.memories for call in memory.calls if call.kind == "step"}
    assert len(threads) == 40
    assert threading.current_thread().name not in threads


HANGING = """
import os
import threading

def wait_for_ever():
    os.write(1, b"hangs\\n")  # at once: print() writes the line's end by itself, and several steps run
    threading.Event().wait()

def chatbot():
    step(wait_for_ever)
"""


def test_ctrl_c_waits_for_no_step(write, endpoint, tmp_path):
    write("bot", HANGING)
    write("user", USERBOT)
    process = start(PROGRAM, tmp_path, endpoint.url)
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode not in (0, None)


@pytest.mark.parametrize(
    ("raised", "told"),
    [("raise SystemExit(3)", "the step called exit()"), ("next(iter([]))", "a StopIteration left the step")],
)
def test_a_step_that_would_end_the_loop_fails_its_conversation_alone(load, raised, told):
    body = f"def leave():\n    {raised}\n\ndef chatbot():\n    step(leave)\n    reply('x')\n"
    chatbot = load("bot", body, model=ScriptedModel())
    made = Simulator(chatbot, load("user", USERBOT, model=ScriptedModel())).run(plain_scenarios(2, num_turns=1, seed=0))
    assert [memory.status for memory in made.memories] == ["failed"] * 2
    assert told in made.memories[0].error_message


def test_an_async_step_is_awaited(load):
    body = """
    import asyncio

    async def ask(text):
        await asyncio.sleep(0)
        return text + "!"

    def chatbot():
        reply(step(ask, "hi"))
    """
    chatbot = load("bot", body, model=ScriptedModel())
    made = Simulator(chatbot, load("user", USERBOT, model=ScriptedModel())).run(plain_scenarios(1, num_turns=1, seed=0))
    assert made.memories[0].transcript()[0] == {"role": "assistant", "content": "hi!"}
    assert chatbot.reply()[0] == "hi!"


INSIDE = """
from pathlib import Path
from autograms import Autogram

RUNS = Path({runs!r})

def lookup(order: int) -> dict:
    with RUNS.open("a") as file:
        file.write("tool\\n")
    return {{"order": order}}

def plain():
    with RUNS.open("a") as file:
        file.write("step\\n")
    return {{"a": 1}}

def helper():
    found = step(plain)
    reply_instruction(f"Help {{found}}.", tools=[lookup])

def chatbot():
    text, memory = Autogram(helper, model=current_model()).reply("Order 7?")
    reply(text)
    text, memory = Autogram(helper, model=current_model()).reply("And 8?")
    reply(text)

def current_model():
    from autograms.program.context import current
    return current().model
"""


def test_a_program_inside_a_program_calls_tools(load, endpoint, tmp_path):
    endpoint.script(answers=[{"last": '"order"', "answer": "It is shipped."}, RULES[1]])
    body = INSIDE.format(runs=str(tmp_path / "runs"))

    def simulate(**options):
        model = model_at(endpoint.url)
        return Simulator(load("bot", body, model=model), load("user", USERBOT, model=model)).run(
            SCENARIOS[:1], **options
        )

    first = simulate()
    assert first.memories[0].status == "completed", first.memories[0].error_message
    assert [turn["content"] for turn in first.memories[0].transcript()][::2] == ["It is shipped."] * 2
    asked, ran = endpoint.stats()["requests"], runs(tmp_path)
    assert (asked, ran) == (4, ["step", "tool"] * 2)
    again = simulate(previous=first.memories)
    assert again.memories[0].status == "completed", again.memories[0].error_message
    assert (again.progress.paid, endpoint.stats()["requests"], runs(tmp_path)) == (0, asked, ran)
    chatbot = load("bot", body, model=model_at(endpoint.url))
    text, memory = chatbot.reply()
    resumed = chatbot.deserialize(chatbot.serialize(memory))
    assert chatbot.reply("go on", resumed)[0] == text == "It is shipped."
    assert runs(tmp_path) == ran + ["step", "tool"] * 2


@pytest.mark.long
def test_on_a_cluster_they_come_out_the_same(simulator, endpoint, tmp_path):
    pytest.importorskip("ray", reason='Ray is not installed: pip install -e ".[ray]"')
    from autograms.simulation.ray_engine import RayEngine

    endpoint.script(answers=RULES)

    def simulate(engine, runs):
        made = simulator(model_at(endpoint.url), runs=runs, supervisor_mode=True)
        made.engine = engine
        memories = made.run(plain_scenarios(4, num_turns=2, seed=0)).memories
        assert {memory.status for memory in memories} == {"completed"}, memories[0].error_message
        recorded = [memory.to_dict() for memory in memories]
        for call in (call for memory in recorded for call in memory["calls"]):
            for name in ("milliseconds", "request"):  # a step's request knows where the program writes
                call.pop(name, None)
        return recorded

    assert simulate(RayEngine(workers=2), "far") == simulate(None, "near")
    assert [len((tmp_path / name).read_text().split()) for name in ("far", "near")] == [8, 8]
