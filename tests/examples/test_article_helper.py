"""The example for a real endpoint: the guide's two supervisors, over a scripted model."""

from __future__ import annotations

import json
from pathlib import Path

from autograms import Autogram
from autograms.models import Request, ScriptedModel
from autograms.simulation import Simulator, load_scenarios

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = EXAMPLES / "chatbots/article_helper.py"


def test_the_teacher_summarizes_in_three_steps_and_prefers_formal() -> None:
    model = ScriptedModel(["findings", "relevance", "SUMMARY", "FORMAL", "casual"])
    text, memory = Autogram.from_file(FILE, model=model, supervisor_mode=True).reply(article="Clover grows.")
    assert text == "FORMAL"
    summary, answer = (call for call in memory.calls if call.supervised)
    assert (summary.primitive, summary.output) == ("silent_thought", "SUMMARY")
    assert (answer.output, answer.rejected) == ("FORMAL", ("casual",))
    assert sum(call.parent is not None for call in memory.calls) == 5


def test_the_deployed_program_sees_the_article_and_asks_twice() -> None:
    model = ScriptedModel(["a summary", "welcome"])
    text, _ = Autogram.from_file(FILE, model=model).reply(article="Clover grows.")
    assert text == "welcome"
    assert len(model.requests) == 2
    assert all("Clover grows." in str(request.messages[0]) for request in model.requests)


def test_the_student_learns_the_deployed_prompt() -> None:
    deployed = ScriptedModel(["SUMMARY", "x"])
    Autogram.from_file(FILE, model=deployed).reply(article="Clover grows.")
    teacher = Autogram.from_file(FILE, model=ScriptedModel(["f", "r", "SUMMARY", "x", "y"]), supervisor_mode=True)
    _, memory = teacher.reply(article="Clover grows.")
    trained = [memory.prompt_messages(call.prompt) for call in memory.calls if call.supervised]
    assert trained == [request.messages for request in deployed.requests]


def test_its_scenarios_play() -> None:
    def answer(request: Request) -> str:
        return f"text {len(json.dumps(request.messages))}"

    chatbot = Autogram.from_file(FILE, model=ScriptedModel(answer), supervisor_mode=True)
    userbot = Autogram.from_file(EXAMPLES / "userbots/reader.py", model=ScriptedModel(answer))
    scenarios = load_scenarios(EXAMPLES / "scenarios/article_helper.json")
    memories = Simulator(chatbot, userbot).run(scenarios).memories
    assert len(memories) == 12
    assert {memory.status for memory in memories} == {"completed"}
