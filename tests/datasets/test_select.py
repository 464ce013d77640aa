from __future__ import annotations

from typing import Any

import pytest

from autograms.conversation.record import Call, Memory, Prompt
from autograms.datasets.select import Selection
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings


def call(**fields: Any) -> Call:
    return Call(**{"primitive": "thought", "kind": "text", "prompt": Prompt(), "output": "x", **fields})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"side": "user"}, "userbot's call"),
        ({"side": "student", "parent": 0}, "the student's own answer"),
        (
            {"side": "student", "parent": 0, "kind": "tool_calls"},
            "the student called tools where a supervisor answered: no pair",
        ),
        ({"side": "student", "kind": "tool_calls", "error": "ToolCallError: no"}, "the student's own answer"),
        ({"kind": "step"}, "step, not a model's answer"),
        ({"kind": "embedding"}, "embedding, not a model's answer"),
        ({"output": None}, "no answer"),
        ({"error": "EndpointError: gone"}, "no answer"),
        ({"parent": 3}, "inside a supervisor"),
        ({"parent": 3, "supervised": True}, None),
        ({"output": ""}, None),
    ],
)
def test_calls_that_train(fields: dict[str, Any], reason: str | None) -> None:
    assert Selection(DatasetSettings()).refuses(call(**fields)) == reason


@pytest.mark.parametrize(
    ("settings", "fields", "reason"),
    [
        ({"primitives": ["yes_or_no"]}, {}, "primitive left out"),
        ({"primitives": ["thought"]}, {}, None),
        ({"exclude_primitives": ["thought"]}, {}, "primitive left out"),
        ({"require_supervisor": True}, {}, "no supervisor"),
        ({"require_supervisor": True}, {"supervised": True}, None),
        ({"min_score": 0.5}, {"score": 0.4}, "score below 0.5"),
        ({"min_score": 0.5}, {"score": 0.5}, None),
        ({"min_score": 0.5}, {"score": None}, None),
        ({"tag_query": "a"}, {}, "tags do not match"),
        ({"tag_query": "a"}, {"tags": ("a", "b")}, None),
        ({"tag_query": "!a"}, {}, None),
    ],
)
def test_filters(settings: dict[str, Any], fields: dict[str, Any], reason: str | None) -> None:
    assert Selection(DatasetSettings(**settings)).refuses(call(**fields)) == reason


def test_statuses() -> None:
    assert Selection(DatasetSettings()).refuses_memory(Memory(status="failed")) == "conversation failed"
    assert Selection(DatasetSettings(statuses=["failed"])).refuses_memory(Memory(status="failed")) is None


def test_a_wrong_query_is_refused_at_once() -> None:
    with pytest.raises(DatasetError, match="tag query"):
        Selection(DatasetSettings(tag_query="a &"))
