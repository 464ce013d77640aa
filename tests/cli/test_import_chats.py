"""``autograms import``: from a chat file to rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograms.conversation.parquet import read_memories
from tests.cli.conftest import Run, assert_one_message


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    rows = [
        {"id": i, "messages": [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": f"Hello {i}."}]}
        for i in range(5)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_imported_conversations_become_rows(run: Run, chats: Path, tmp_path: Path) -> None:
    ended = run("import", chats, "--save_dir", tmp_path / "d", "--name", "desk")
    assert ended.status == 0
    assert "ignored the field 'id' of 5 conversations" in ended.out
    assert "imported 5 conversations with 5 answers" in ended.out
    assert {memory.autogram for memory in read_memories(tmp_path / "d/memories.parquet")} == {"desk"}
    assert run("dataset", "--save_dir", tmp_path / "d").status == 0
    files = [tmp_path / "d" / name for name in ("train.jsonl", "validation.jsonl")]
    rows = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert sorted(row["completion"][0]["content"] for row in rows) == [f"Hello {i}." for i in range(5)]


def test_results_are_not_replaced_unasked(run: Run, chats: Path, tmp_path: Path) -> None:
    run("import", chats, "--save_dir", tmp_path / "d")
    assert_one_message(run("import", chats, "--save_dir", tmp_path / "d"), "--allow_overwrite")
    (tmp_path / "d/example0.pkl").write_bytes(b"old")
    assert run("import", chats, "--save_dir", tmp_path / "d", "--allow_overwrite").status == 0
    assert not (tmp_path / "d/example0.pkl").exists()


def test_a_bad_line_is_named_and_nothing_is_written(run: Run, chats: Path, tmp_path: Path) -> None:
    with chats.open("a") as file:
        file.write('{"text": "Hi"}\n')
    assert_one_message(run("import", chats, "--save_dir", tmp_path / "d"), "line 6: none of the known forms")
    assert not (tmp_path / "d").exists()
