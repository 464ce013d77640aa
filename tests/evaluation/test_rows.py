from __future__ import annotations

import asyncio
import json

import pyarrow as pa

from autograms.evaluation.answers import answer_rows
from autograms.evaluation.rows import held_out
from autograms.models import ScriptedModel
from tests.finetuning.rows import dpo_table, sft_table


def test_only_held_out_rows() -> None:
    rows = held_out(sft_table(40), "sft", limit=100, seed=0)
    assert rows
    assert {row.row.split for row in rows} == {"validation"}


def test_the_sample_is_seeded() -> None:
    def ids(seed: int) -> list[str]:
        return [row.row.id for row in held_out(sft_table(400), "sft", limit=5, seed=seed)]

    assert len(ids(1)) == 5
    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


def test_a_row_becomes_the_request_of_its_call() -> None:
    prompt = [{"role": "user", "content": "Is it a lamp?", "extra": None}]
    row = {"id": "r", "prompt": prompt, "split": "validation", "completion": "Yes", "kind": "choice"}
    table = pa.Table.from_pylist([{**row, "choices": ["Yes", "No"], "schema": None, "scenario": "s", "primitive": "y"}])
    request = held_out(table, "sft", limit=1, seed=0)[0].request(max_new_tokens=9)
    assert (request.kind, request.choices) == ("choice", ("Yes", "No"))
    assert request.messages == [{"role": "user", "content": "Is it a lamp?"}]
    assert request.params == {"max_tokens": 9, "temperature": 0}


def test_pairs_expect_the_chosen_answer() -> None:
    pair = held_out(dpo_table(40), "dpo", limit=1, seed=0)[0]
    assert pair.expected.startswith("Dear customer")
    assert pair.row.answers[1].startswith("hey")


def test_calls_of_tools_are_compared_by_what_they_call() -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"n": 2, "at": "x"}'}}
    prompt = [{"role": "user", "content": "Look.", "extra": None}]
    row = {"id": "r", "prompt": prompt, "split": "validation", "kind": "tool_calls", "tools": json.dumps(tools)}
    row["completion"] = json.dumps({"content": None, "tool_calls": [call]})
    (held,) = held_out(pa.Table.from_pylist([row]), "sft", limit=1, seed=0)
    assert held.expected == 'calls look(at="x", n=2)'
    request = held.request(max_new_tokens=9)
    assert (request.kind, request.params["tools"]) == ("text", tools)
    outputs = [{"tool_calls": [{"name": "look", "arguments": {"at": "x", "n": 2}}]}, "I see."]
    answers = [asyncio.run(answer_rows(ScriptedModel([output]), [held], max_new_tokens=9)).texts for output in outputs]
    assert answers == [[held.expected], ["I see."]]
