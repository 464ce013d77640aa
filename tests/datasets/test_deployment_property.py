"""Of any program: every row's prompt is the deployed program's request in the same state, at an endpoint and here.

What does not belong here: calls of tools, whose rows ``test_deployment`` holds against requests, and calls whose answer
is no text that could train (``multiple_choice_logits``, embeddings).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograms import Autogram, AutogramConfig, load_autogram
from autograms.conversation.record import Memory
from autograms.datasets import build_dpo, build_sft
from autograms.finetuning.student import tiny_tokenizer
from autograms.finetuning.tokens import prompt_ids, read_rows
from autograms.models import Request, ScriptedModel
from autograms.settings import DatasetSettings

HEAD = """
from autograms import autograms_function
from autograms.functional import *
from autograms.supervisors import SupervisorReturn

def better(instruction, **kwargs):
    draft = silent_thought("Draft: " + instruction)
    return SupervisorReturn("[" + draft + "]", rejected_output="bad")

def sure(question, *args, **kwargs):
    thought("Think about: " + str(question))
    return True

"""
STEPS = (
    'reply_instruction("Answer{n}."{supervisor})',
    'reply_instruction("Answer{n}.", max_turns=1{supervisor})',
    'reply_suffix("Anything else{n}?"{supervisor})',
    'reply("Well{n}.")',
    'thought("Note{n}."{supervisor})',
    'silent_thought("Consider{n}."{supervisor})',
    'yes_or_no("Is it{n} so?"{decider})',
    'multiple_choice("Which{n}?", ["red", "green"], max_turns=2)',
    'decision_chain("How{n}?", [{{"question": "tone", "choices": ["warm", "cold"]}}])',
    'thought_chain("Reason{n}.", ["First?", "Then?"])',
    'generate_object("Describe{n}.", {{"type": "object", "properties": {{"a": {{"type": "string"}}}}}})',
    'generate_list("Name{n} some.")',
    'generate_fixed_dict("Fill{n} in.", ["a", "b"])',
    'call_llm("Say{n} something."{supervisor})',
    'call_chat_completion([{{"role": "user", "content": "Plain{n}."}}])',
    'set_system_prompt("You are number{n}.")',
    'append_system_prompt("And{n} more.")',
)
OWN_SUPERVISOR = {"supervisor": ", supervisor=better", "decider": ", supervisor=sure"}
PLAIN = {"supervisor": "", "decider": ""}

steps = st.tuples(st.integers(0, len(STEPS) - 1), st.booleans())
functions = st.lists(
    st.tuples(st.sampled_from(("global", "normal", "local")), st.lists(steps, min_size=1, max_size=4)),
    min_size=1,
    max_size=3,
)


def source(parts: list[tuple[str, list[tuple[int, bool]]]]) -> str:
    """Return a program that runs the steps of each function, in a scope of its own, turn after turn."""
    text, number = HEAD, 0
    for index, (scope, body) in enumerate(parts):
        text += f'@autograms_function(conv_scope="{scope}")\ndef part{index}():\n'
        for step, supervised in body:
            number += 1
            text += f"    {STEPS[step].format(n=f' {number}', **(OWN_SUPERVISOR if supervised else PLAIN))}\n"
        text += "\n"
    calls = "".join(f"        part{index}()\n" for index in range(len(parts)))
    return f'{text}def chatbot():\n    while True:\n{calls}        reply_instruction("Close.", supervisor=better)\n'


def answer(request: Request) -> Any:
    """Return the same answer to the same request, whoever asks."""
    if request.kind == "choice":
        return request.choices[0]
    if request.kind == "object":
        return {name: _value(schema) for name, schema in (request.schema or {}).get("properties", {}).items()}
    return f"({str(request.messages[-1]['content'])[-30:]})"


def _value(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    return [] if schema.get("type") == "array" else "x"


def talk(program: Path, model: ScriptedModel, *, supervised: bool) -> Memory:
    bot = Autogram(load_autogram(program)[0], AutogramConfig(), model, supervisor_mode=supervised)
    _, memory = bot.reply("hello, I am Ann")
    for said in ("what now?", "and then?", "bye"):
        _, memory = bot.reply(said, memory)
    return memory


@pytest.fixture(scope="module")
def folder() -> Any:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(parts=functions)
def test_every_trained_prompt_is_the_deployed_request(folder: Path, parts: Any) -> None:
    program = folder / "bot.py"
    program.write_text(source(parts))
    memory = talk(program, ScriptedModel(answer), supervised=True)
    rules = DatasetSettings(deduplicate=False, validation_fraction=0)
    table = build_sft([memory], rules).table
    rows = list(read_rows(table, "sft"))
    outputs = iter([row.answers[0] for row in rows])
    deployed = ScriptedModel(lambda request: next(outputs))
    talk(program, deployed, supervised=False)
    assert [row.messages for row in rows] == [request.messages for request in deployed.requests]
    asked = {json.dumps(request.messages) for request in deployed.requests}
    pairs = list(read_rows(build_dpo([memory], rules).table, "dpo"))
    assert {json.dumps(pair.messages) for pair in pairs} <= asked
    tokenizer = tiny_tokenizer(["hello, I am Ann"])
    for row, request in zip(rows, deployed.requests, strict=True):
        shown = tokenizer.apply_chat_template(request.messages, tokenize=False, add_generation_prompt=True)
        assert tokenizer.decode(prompt_ids(tokenizer, row.messages)) == shown
