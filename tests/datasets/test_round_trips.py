"""Exported files, imported again, become the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autograms.conversation.elsewhere import read_chats
from autograms.datasets import build_dpo, build_sft, chat_messages, export_jsonl
from autograms.datasets.export import Flavor
from autograms.datasets.formats import export_sharegpt
from autograms.settings import DatasetSettings
from tests.memories import Recorder, desk_memories

ALL = DatasetSettings(validation_fraction=0)


def memories() -> list[Any]:
    tools = Recorder(scenario="tools")
    tools.node("user", "What is 2 + 2?")
    tools.node("assistant", "", '{"tool_calls": [{"id": "1"}], "content": null}')
    tools.node("tool", "4", '{"tool_call_id": "1"}')
    tools.node("user", "see", '{"content": [{"type": "text", "text": "see"}]}')
    tools.call("reply_instruction", "Answer.", "It is 4.", rejected=("5",))
    return [*desk_memories(6), tools.memory]


def rows(table: Any) -> list[tuple[Any, ...]]:
    answers = [name for name in ("completion", "chosen", "rejected") if name in table.column_names]
    return sorted((str(chat_messages(row["prompt"])), *(row[name] for name in answers)) for row in table.to_pylist())


@pytest.mark.parametrize("flavor", ["huggingface", "openai"])
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_jsonl(tmp_path: Path, flavor: Flavor, kind: Any) -> None:
    build = build_dpo if kind == "dpo" else build_sft
    table = build(memories(), ALL).table
    (path,) = export_jsonl(table, tmp_path / "first", flavor=flavor, kind=kind)
    again = build(read_chats(path).memories, ALL).table
    assert rows(again) == rows(table)
    (second,) = export_jsonl(again, tmp_path / "second", flavor=flavor, kind=kind)
    assert second.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_sharegpt(tmp_path: Path, kind: Any) -> None:
    build = build_dpo if kind == "dpo" else build_sft
    spoken = [memory for memory in memories() if memory.scenario != "tools"]
    for memory in spoken:  # ShareGPT's conversations open with the user
        memory.messages[memory.history[0][1]] = ("user", "Good day.", None)
    table = build(spoken, ALL).table
    (path,), left_out = export_sharegpt(table, tmp_path, kind=kind)
    assert left_out == 0
    assert rows(build(read_chats(path, answers="last").memories, ALL).table) == rows(table)
