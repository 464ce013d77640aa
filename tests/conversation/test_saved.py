import json

import pytest
from hypothesis import given

from autograms.conversation.record import SCHEMA_VERSION, Memory, Prompt
from autograms.conversation.saved import dumps, loads
from autograms.errors import RecordError
from tests.memories import any_memory, desk_memory


def sound(memory):
    """Let every index lead somewhere; the texts and numbers stay as they were drawn."""
    memory.messages = memory.messages or [("user", "", None)]
    memory.history = [(number - 1, 0) for number in range(len(memory.history))]
    for call in memory.calls:
        call.prompt, call.parent = Prompt(ask=0), None
    for turn in memory.turns:
        turn.role, turn.after = "assistant", 0
    return memory


@given(any_memory.map(sound))
def test_a_saved_memory_comes_back_as_it_was(memory):
    assert loads(dumps(memory)) == memory


def test_saved_memories_are_json():
    assert json.loads(dumps(desk_memory()))["version"] == SCHEMA_VERSION


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', "null", "not json"])
def test_what_is_no_memory_is_refused(text):
    with pytest.raises(RecordError, match="not a saved memory"):
        loads(text)


def test_a_newer_version_is_refused():
    data = json.loads(dumps(desk_memory()))
    data["version"] = SCHEMA_VERSION + 1
    with pytest.raises(RecordError, match="upgrade"):
        loads(json.dumps(data))


@pytest.mark.parametrize("change", [{"calls": {"count": 3}}, {"turns": []}, {"unknown": 1}, {"history": [[5]]}])
def test_damage_is_refused(change):
    data = {**json.loads(dumps(desk_memory())), **change}
    with pytest.raises(RecordError, match="damaged"):
        loads(json.dumps(data))


def test_keywords_that_are_no_data_are_named():
    memory = Memory(unsaveable="db=Connection")
    with pytest.raises(RecordError, match="db=Connection"):
        dumps(memory)
