"""What trains is what deployment asks: rows of a supervised run against the requests of the deployed program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autograms import Autogram, AutogramConfig, load_autogram
from autograms.conversation.parquet import memories_to_table, table_to_memories
from autograms.conversation.record import Memory
from autograms.datasets import build_sft, chat_messages
from autograms.models import Request, ScriptedModel
from autograms.settings import DatasetSettings

PROGRAM = """
from autograms import autograms_function
from autograms.functional import *
from autograms.supervisors import SupervisorReturn

def better(instruction, **kwargs):
    draft = silent_thought("Draft an answer: " + instruction)
    return SupervisorReturn("[" + draft + "]", rejected_output="bad", score=0.7, tags=["drafted"])

def decide(question, *args, **kwargs):
    thought("Think about: " + question)
    return True

@autograms_function(conv_scope="local")
def inner():
    set_system_prompt("You are inside.")
    thought("Look around.")
    return generate_object("Describe it.", {"type": "object", "properties": {"a": {"type": "string"}}})

@autograms_function(conv_scope="normal")
def middle():
    thought("Think in between.", supervisor=better)
    return multiple_choice("Which one?", ["red", "green"], max_turns=2)

def chatbot():
    set_system_prompt("You are a test.")
    reply("Welcome.")
    while True:
        if yes_or_no("Is it a greeting?", supervisor=decide):
            thought("Note the name.", supervisor=better)
        inner()
        middle()
        generate_list("Name some things.")
        reply_instruction("Answer politely.", supervisor=better)
        reply_instruction("Say one thing more.", max_turns=1)
"""


def answer(request: Request) -> Any:
    """The same answer to the same request, whoever asks."""
    if request.kind == "choice":
        return request.choices[0]
    if request.kind == "object":
        return {name: [] if name == "data" else "x" for name in (request.schema or {}).get("properties", {})}
    return f"({str(request.messages[-1]['content'])[-30:]})"


def run(program: Path, model: ScriptedModel, *, supervised: bool) -> Memory:
    chatbot, _ = load_autogram(program)
    bot = Autogram(chatbot, AutogramConfig(), model, supervisor_mode=supervised)
    _, memory = bot.reply()
    for said in ("hello, I am Ann", "what now?", "and then?", "bye"):
        _, memory = bot.reply(said, memory)
    return memory


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bot.py"
    path.write_text(PROGRAM)
    return path


def test_rows_hold_the_requests_of_the_deployed_program(program: Path) -> None:
    supervised = run(program, ScriptedModel(answer), supervised=True)
    rows = build_sft([supervised], DatasetSettings(deduplicate=False, validation_fraction=0)).table.to_pylist()
    outputs = iter([row["completion"] for row in rows])
    deployed = ScriptedModel(lambda request: next(outputs))
    run(program, deployed, supervised=False)
    assert [chat_messages(row["prompt"]) for row in rows] == [request.messages for request in deployed.requests]
    assert {row["kind"] for row in rows} == {"text", "choice", "object"}
    assert {tuple(row["choices"]) for row in rows} == {tuple(request.choices) for request in deployed.requests}


def test_recorded_conversations_survive_parquet(program: Path) -> None:
    memory = run(program, ScriptedModel(answer), supervised=True)
    (read,) = table_to_memories(memories_to_table([memory]))
    assert read == memory
    assert json.dumps(read.to_dict()) == json.dumps(memory.to_dict())


def test_calls_of_supervisors_do_not_train(program: Path) -> None:
    memory = run(program, ScriptedModel(answer), supervised=True)
    report = build_sft([memory], DatasetSettings(deduplicate=False)).report
    assert report.dropped["inside a supervisor"] == sum(call.parent is not None for call in memory.calls) > 0
