"""The example that the demo runs: its rules fit every scenario, and the student has what it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograms import Autogram
from autograms.conversation.record import Memory
from autograms.models import ScriptedModel
from autograms.settings import load_project
from autograms.simulation import Simulator, load_scenarios

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def memories() -> list[Memory]:
    project = load_project(EXAMPLES)
    settings = project.settings("support_desk")
    chatbot = Autogram.from_file(project.chatbot_file("support_desk"), model=ScriptedModel(), supervisor_mode=True)
    userbot = Autogram.from_file(project.userbot_file(settings), model=ScriptedModel())
    scenarios = load_scenarios(project.scenario_file(settings), num_turns=settings.num_turns)
    return Simulator(chatbot, userbot).run(scenarios).memories


def test_every_scenario_is_answered_by_the_rules_alone(memories: list[Memory]) -> None:
    assert len(memories) == 400
    assert {memory.status for memory in memories} == {"completed"}
    assert all(call.supervised for memory in memories for call in memory.calls)


def test_the_rules_find_what_the_scenario_asks_for(memories: list[Memory]) -> None:
    for memory in memories:
        asked = json.loads(memory.scenario_data or "")["user_kwargs"]
        decision, answer = memory.calls
        assert decision.output == asked["intent"]
        assert asked["product"] in (answer.output or "")


def test_texts_differ_and_answers_are_formal(memories: list[Memory]) -> None:
    assert len({memory.transcript()[0]["content"] for memory in memories}) == 400
    answers = {memory.calls[1].output for memory in memories}
    assert len(answers) == 80
    assert all(answer.startswith("Dear customer, ") for answer in answers if answer)
    assert all(memory.calls[1].rejected and memory.calls[1].score == 1.0 for memory in memories)


def test_prompts_hold_the_customers_text_and_are_short(memories: list[Memory]) -> None:
    for memory in memories:
        said = memory.transcript()[0]["content"]
        for call in memory.calls:
            prompt = memory.prompt_messages(call.prompt)
            assert said in prompt[-1]["content"]
            assert sum(len(message["content"]) for message in prompt) < 400


def test_each_text_is_answered_for_itself() -> None:
    model = ScriptedModel(["refund", "one", "manual", "two"])
    bot = Autogram.from_file(EXAMPLES / "chatbots/support_desk.py", model=model)
    greeting, memory = bot.reply()
    assert greeting == "This is the support desk. What can I do for you?"
    assert bot.reply("Please refund the kettle.", memory) == ("one", memory)
    assert bot.reply("Where is the manual of my lamp?", memory) == ("two", memory)
    assert not any("kettle" in str(request.messages) for request in model.requests[2:])
