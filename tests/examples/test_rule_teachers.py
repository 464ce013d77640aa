"""The examples whose teachers are made of rules: the rules fit every scenario, and students get what they need."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path

import pytest

from autograms import Autogram
from autograms.conversation.record import Memory
from autograms.datasets import build_dpo, build_sft
from autograms.models import ScriptedModel
from autograms.settings import load_project
from autograms.simulation import Simulator, load_scenarios

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECT = load_project(EXAMPLES)
NAMES = ("request_router", "order_extractor", "formal_writer")


@cache
def memories(name: str) -> list[Memory]:
    settings = PROJECT.settings(name)
    chatbot = Autogram.from_file(PROJECT.chatbot_file(name), model=ScriptedModel(), supervisor_mode=True)
    userbot = Autogram.from_file(PROJECT.userbot_file(settings), model=ScriptedModel())
    scenarios = load_scenarios(PROJECT.scenario_file(settings), num_turns=settings.num_turns)
    return Simulator(chatbot, userbot).run(scenarios).memories


def asked(memory: Memory) -> dict:
    return json.loads(memory.scenario_data or "")["user_kwargs"]


@pytest.mark.parametrize("name", [*NAMES, "support_desk"])
def test_the_scenarios_are_what_the_script_writes(name: str) -> None:
    script = runpy.run_path(str(EXAMPLES / "make_scenarios.py"))
    assert (EXAMPLES / f"scenarios/{name}.json").read_text() == script["text"](name)


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_is_answered_by_the_rules_alone(name: str) -> None:
    assert len(memories(name)) >= 320
    assert {memory.status for memory in memories(name)} == {"completed"}
    assert all(len(memory.calls) == 1 and memory.calls[0].supervised for memory in memories(name))


@pytest.mark.parametrize("name", NAMES)
def test_each_text_is_there_once_and_every_row_has_a_pair(name: str) -> None:
    settings = PROJECT.settings(name).dataset
    sft, dpo = (build(memories(name), settings).table for build in (build_sft, build_dpo))
    assert sft.num_rows == dpo.num_rows == len(memories(name))
    assert len({memory.transcript()[0]["content"] for memory in memories(name)}) == len(memories(name))


def test_requests_reach_the_department_of_the_scenario() -> None:
    for memory in memories("request_router"):
        assert memory.calls[0].output == asked(memory)["department"]
        assert memory.calls[0].rejected[0] != memory.calls[0].output


def test_orders_hold_what_the_scenario_says_and_rejected_ones_err_in_one_value() -> None:
    counts = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
    for memory in memories("order_extractor"):
        order, wrong = json.loads(memory.calls[0].output or ""), json.loads(memory.calls[0].rejected[0])
        assert order["city"] == asked(memory)["city"]
        assert order["count"] == str(counts.index(asked(memory)["count"]) + 2)
        assert sum(order[key] != wrong[key] for key in order) == 1


def test_held_out_orders_and_sentences_were_never_answers_in_training() -> None:
    for name in ("order_extractor", "formal_writer"):
        rows = build_sft(memories(name), PROJECT.settings(name).dataset).table.to_pylist()
        trained = {row["completion"] for row in rows if row["split"] == "train"}
        assert not trained & {row["completion"] for row in rows if row["split"] == "validation"}


def test_letters_name_the_event_and_the_day() -> None:
    for memory in memories("formal_writer"):
        sentence = memory.calls[0].output or ""
        assert asked(memory)["event"] in sentence
        assert asked(memory)["day"] in sentence


@pytest.mark.parametrize(("name", "answer"), [("request_router", "travel"), ("formal_writer", "A sentence.")])
def test_the_deployed_program_asks_once_a_text(name: str, answer: str) -> None:
    model = ScriptedModel([answer, answer])
    bot = Autogram.from_file(PROJECT.chatbot_file(name), model=model)
    said, memory = bot.reply("one text")
    assert answer in (said or "")
    bot.reply("another text", memory)
    assert len(model.requests) == 2
    assert "one text" not in str(model.requests[1].messages)


def test_an_order_is_repeated_to_the_customer() -> None:
    model = ScriptedModel(['{"item": "lamp", "count": "2", "city": "Oslo"}'])
    said, _ = Autogram.from_file(PROJECT.chatbot_file("order_extractor"), model=model).reply("two lamps to Oslo")
    assert said == "Noted: 2 x lamp, to be delivered to Oslo."


def test_a_text_that_the_rules_do_not_know_fails_that_conversation_clearly() -> None:
    bot = Autogram.from_file(PROJECT.chatbot_file("request_router"), model=ScriptedModel(), supervisor_mode=True)
    with pytest.raises(LookupError, match="exactly one department"):
        bot.reply("good morning")
