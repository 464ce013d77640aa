from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autograms.datasets.openai_rules import check_openai_file, require_openai_file
from autograms.errors import DatasetError

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello", "weight": 1}
PLAIN = {"role": "assistant", "content": "hello"}
WORSE = {"role": "assistant", "content": "yo"}


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "4"}


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def pair(**fields: Any) -> dict[str, Any]:
    return {"input": {"messages": [USER]}, "preferred_output": [PLAIN], "non_preferred_output": [WORSE], **fields}


def test_a_good_file_passes(tmp_path: Path) -> None:
    path = written(tmp_path, *[{"messages": [USER, ANSWER]}] * 10)
    assert require_openai_file(path) == 10
    assert require_openai_file(written(tmp_path, *[pair()] * 10), kind="dpo") == 10


def test_too_few_examples(tmp_path: Path) -> None:
    path = written(tmp_path, *[{"messages": [USER, ANSWER]}] * 9)
    assert check_openai_file(path) == ["the file holds 9 examples; at least 10 are needed"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{no", "no JSON"),
        ("[]", "expected an object, found a list"),
        ({}, "expected a list of messages under 'messages'"),
        ({"messages": []}, "expected a list of messages"),
        ({"messages": [USER, ANSWER], "id": 1}, "the row has the unknown key 'id'"),
        ({"messages": [USER]}, "the last message must be the assistant's"),
        ({"messages": [ANSWER, USER]}, "the last message must be the assistant's"),
        ({"messages": ["hi", ANSWER]}, "message 1 is no object"),
        ({"messages": [{"role": "human", "content": "x"}, ANSWER]}, "message 1 has the role 'human'"),
        ({"messages": [{"role": "user"}, ANSWER]}, "message 1 has no content"),
        ({"messages": [{"role": "user", "content": ""}, ANSWER]}, "message 1 is empty"),
        ({"messages": [{"role": "user", "content": 3}, ANSWER]}, "content must be a text or a list"),
        ({"messages": [{**USER, "mood": "x"}, ANSWER]}, "message 1 has the unknown key 'mood'"),
        ({"messages": [{**USER, "weight": 1}, ANSWER]}, "message 1 has a weight"),
        ({"messages": [USER, {**ANSWER, "weight": 2}]}, "message 2 has the weight 2"),
        ({"messages": [USER, {**ANSWER, "weight": 1.0}]}, "it must be an integer"),
        ({"messages": [USER, {**ANSWER, "weight": True}]}, "message 2 has the weight True"),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "every assistant message has weight 0"),
        ({"messages": [{"role": "tool", "content": "4"}, ANSWER]}, "message 1 is a tool's and has no tool_call_id"),
    ],
)
def test_sft_problems_have_line_numbers(tmp_path: Path, row: Any, problem: str) -> None:
    found = check_openai_file(written(tmp_path, {"messages": [USER, ANSWER]}, row), fewest=1)
    assert len(found) == 1
    assert found[0].startswith("line 2: ")
    assert problem in found[0]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (pair(input={"messages": []}), "under 'input', 'messages'"),
        (pair(input=[USER]), "under 'input', 'messages'"),
        (pair(input={"messages": [USER, PLAIN]}), "last message of the input must not be the assistant's"),
        (pair(preferred_output=[]), "preferred_output must be a list of one"),
        (pair(preferred_output=[USER]), "preferred_output must be the assistant's"),
        (pair(preferred_output=[ANSWER]), "preferred_output has a weight"),
        (pair(non_preferred_output=[PLAIN]), "both outputs are the same"),
    ],
)
def test_dpo_problems_have_line_numbers(tmp_path: Path, row: Any, problem: str) -> None:
    found = check_openai_file(written(tmp_path, pair(), row), kind="dpo", fewest=1)
    assert len(found) == 1
    assert found[0].startswith("line 2: ")
    assert problem in found[0]


def test_an_answer_of_tool_calls_needs_no_content(tmp_path: Path) -> None:
    row = {"messages": [USER, CALLS], "tools": [TOOL]}
    assert check_openai_file(written(tmp_path, row), fewest=1) == []


def test_a_call_its_result_and_the_answer(tmp_path: Path) -> None:
    row = {"messages": [USER, CALLS, {"role": "tool", "content": "4", "tool_call_id": "a"}, ANSWER], "tools": [TOOL]}
    assert check_openai_file(written(tmp_path, row), fewest=1) == []
    asked = {"messages": row["messages"][:3], "tools": [TOOL]}
    assert check_openai_file(written(tmp_path, pair(input=asked)), kind="dpo", fewest=1) == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": [USER, CALLS, ANSWER]}, "message 3 comes before the results of a"),
        (
            {"messages": [USER, CALLS, {**RESULT, "tool_call_id": "b"}]},
            "message 3 is the result of 'b', which no message",
        ),
        ({"messages": [USER, {**CALLS, "tool_calls": []}]}, "message 2 has no content"),
        ({"messages": [USER, {**CALLS, "tool_calls": [{**CALL, "id": None}]}]}, "a call of a tool needs an id"),
        ({"messages": [USER, {**CALLS, "tool_calls": ["x"]}]}, "a call of a tool needs an id"),
        (
            {"messages": [USER, {**CALLS, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}]},
            "message 2: the arguments of 'f' must be JSON text",
        ),
        ({"messages": [USER, ANSWER], "tools": {}}, "tools must be a list, not a dict"),
        ({"messages": [USER, ANSWER], "tools": [{"name": "f"}]}, "tool 1 is not of the form"),
    ],
)
def test_problems_with_tools(tmp_path: Path, row: Any, problem: str) -> None:
    assert any(problem in found for found in check_openai_file(written(tmp_path, row), fewest=1))


def test_the_error_shows_the_first_problems_and_counts_the_rest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 1: no JSON") as caught:
        require_openai_file(written(tmp_path, *["{"] * 50))
    assert "line 20:" in str(caught.value)
    assert "line 21:" not in str(caught.value)
    assert "and 30 more" in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"\xff\xfe{}")
    assert "not UTF-8" in check_openai_file(tmp_path / "train.jsonl")[0]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        check_openai_file(tmp_path / "train.jsonl")
