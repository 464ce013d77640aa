from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from autograms.conversation.record import SCHEMA_VERSION, Memory, Prompt, Turn
from autograms.errors import RecordError
from tests.memories import Recorder, any_memory, desk_memory


@given(any_memory)
@settings(max_examples=60, deadline=None)
def test_json_round_trip(memory: Memory) -> None:
    assert Memory.from_dict(json.loads(json.dumps(memory.to_dict()))) == memory


def test_a_running_program_is_not_stored() -> None:
    memory = desk_memory()
    memory.live = object()
    assert "live" not in memory.to_dict()


def test_a_path_is_a_window_of_the_history() -> None:
    recorder = Recorder()
    first, second, third = (recorder.node("user", text) for text in "abc")
    pool = recorder.memory.messages
    words = lambda *ends: [pool[index][1] for index in recorder.memory.path(*ends)]  # noqa: E731
    assert words(first, third) == ["a", "b", "c"]
    assert words(second, third) == ["b", "c"]
    assert words(third, third) == ["c"]
    assert words(-1, -1) == []


def test_branches_of_the_history_do_not_mix() -> None:
    recorder = Recorder()
    root = recorder.node("user", "a")
    recorder.node("user", "inside")
    recorder.last = root
    last = recorder.node("user", "after")
    assert [recorder.memory.messages[index][1] for index in recorder.memory.path(root, last)] == ["a", "after"]


def test_a_prompt_is_system_history_and_instruction() -> None:
    recorder = Recorder()
    recorder.set_system("S")
    recorder.node("user", "u")
    recorder.node("assistant", "a")
    recorder.call("thought", "I", "x")
    assert recorder.memory.prompt_messages(recorder.memory.calls[0].prompt) == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "I"},
    ]
    assert recorder.memory.prompt_messages(Prompt()) == []


def test_the_transcript_leaves_empty_turns_out() -> None:
    memory = Memory(turns=[Turn("assistant", "hi", 0), Turn("user", None, 1), Turn("assistant", "", 1)])
    assert memory.transcript() == [{"role": "assistant", "content": "hi"}]


@pytest.mark.parametrize("data", [None, [], {}, {"version": 1}, "x"])
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(RecordError, match="not a saved memory"):
        Memory.from_dict(data)


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(RecordError, match=f"schema version {SCHEMA_VERSION + 1}.*upgrade"):
        Memory.from_dict(desk_memory(version=SCHEMA_VERSION + 1).to_dict())


@pytest.mark.parametrize("part", ["messages", "history", "calls", "turns"])
def test_damaged_parts_are_refused(part: str) -> None:
    with pytest.raises(RecordError, match="damaged"):
        Memory.from_dict({**desk_memory().to_dict(), part: [3]})
