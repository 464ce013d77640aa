"""Conversations recorded under each schema version resume for ever; one of them must diverge."""

import json
from pathlib import Path

import pytest

from autograms.errors import DivergenceError
from tests.replay.record import FOLDER, KWARGS, load

RECORDED = sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_the_recorded_conversations_are_there():
    assert RECORDED == ["deciding", "diverging", "jumping", "supervised", "talking", "together", "tools"]
    assert {path.name for path in Path(__file__).parent.glob("v*")} == {"v1"}


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "diverging"])
def test_a_recorded_conversation_resumes(name):
    data, autogram = recorded(name), load(name)
    memory = autogram.deserialize(json.dumps(data["memory"]))
    assert memory.version == 1
    autogram.attach(memory)
    assert autogram.model.requests == []  # nothing was asked again
    reply, memory = autogram.reply(data["user"], memory, **KWARGS.get(name, {}))
    assert reply == data["reply"]
    assert [[call.primitive, call.output] for call in memory.calls] == data["calls"]
    shown = [memory.prompt_messages(call.prompt) for call in memory.calls if call.kind != "step"]
    assert shown == data["prompts"]


def test_a_changed_program_diverges():
    data, autogram = recorded("diverging"), load("diverging")
    memory = autogram.deserialize(json.dumps(data["memory"]))
    with pytest.raises(DivergenceError, match=r"call 1 .*Give a short answer.*now asks .*Give a long answer"):
        autogram.reply(data["user"], memory)


@pytest.mark.parametrize("name", RECORDED)
def test_a_loaded_conversation_is_saved_as_it_was(name):
    data, autogram = recorded(name), load(name)
    saved = autogram.serialize(autogram.deserialize(json.dumps(data["memory"])))
    assert json.loads(saved) == data["memory"]
