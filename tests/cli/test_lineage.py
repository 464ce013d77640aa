"""``autograms show --row``: from a row back to its conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from autograms.conversation.parquet import write_memories
from autograms.datasets import build_dpo, build_sft
from autograms.settings import DatasetSettings
from tests.cli.conftest import Run, assert_one_message
from tests.memories import desk_memories
from tests.programs import bot, talk


@pytest.fixture
def rows(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """The rows of a project with stored datasets."""
    run("init", tmp_path / "p")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "p"))
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "s"))
    monkeypatch.setenv("COLUMNS", "200")
    memories = desk_memories(4)
    write_memories(tmp_path / "s/conversation_memories/greeter.parquet", memories)
    tables = {}
    for kind, build in (("sft", build_sft), ("dpo", build_dpo)):
        tables[kind] = build(memories, DatasetSettings()).table
        (tmp_path / f"s/{kind}_dataset").mkdir()
        pq.write_table(tables[kind], tmp_path / f"s/{kind}_dataset/greeter.parquet")
    return {kind: table.to_pylist() for kind, table in tables.items()}


def test_a_row_leads_back_to_its_call(run: Run, rows: dict[str, list[dict[str, Any]]]) -> None:
    row = next(row for row in rows["sft"] if row["primitive"] == "reply_instruction" and row["scenario"] == "s2")
    ended = run("show", "--row", row["id"])
    assert ended.status == 0
    for fact in ("number 2 in", "s2", "number 2 of", "reply_instruction (text)", "chatbot:12 in", "formal", "0.9"):
        assert fact in ended.out
    assert "We regret that your chair 2 broke." in ended.out
    assert "-- here call 2 was made --\nassistant: We regret" in ended.out
    assert "1, $0.100000" in ended.out


def test_a_pair_shows_both_answers(run: Run, rows: dict[str, list[dict[str, Any]]]) -> None:
    ended = run("show", "greeter", "--row", rows["dpo"][0]["id"])
    assert "DPO rows of greeter" in ended.out
    assert "\nchosen\nYes\n\nrejected\nNo\n" in ended.out


def test_an_unknown_row(run: Run, rows: dict[str, list[dict[str, Any]]]) -> None:
    assert_one_message(run("show", "--row", "xyz"), "no row 'xyz' in the datasets of greeter")


def test_a_damaged_dataset_is_named(run: Run, rows: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    (tmp_path / "s/sft_dataset/greeter.parquet").write_bytes(b"PAR1")
    assert_one_message(run("show", "--row", "xyz"), "materialize sft_dataset again")


def test_a_row_of_calls_of_tools(run: Run, rows: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    calls = {"tool_calls": [{"name": "look", "arguments": {"at": "tea"}}]}
    program = """
    def look(at: str) -> int:
        return len(at)

    def chatbot():
        reply_instruction("Look.", tools=[look])
    """
    _, memory = talk(bot(program, [calls, "Three."]), ["How long?"])
    write_memories(tmp_path / "s/conversation_memories/greeter.parquet", [memory])
    table = build_sft([memory], DatasetSettings(validation_fraction=0)).table
    pq.write_table(table, tmp_path / "s/sft_dataset/greeter.parquet")
    called, answered = (run("show", "--row", row["id"]).out for row in table.to_pylist())
    assert '\ncompletion\ncalls look(at="tea")\n' in called
    assert '\nassistant\ncalls look(at="tea")\n' in answered
    assert "\ntool\n3\n" in answered
