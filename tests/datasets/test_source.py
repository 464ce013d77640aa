"""What is read for rows makes the same rows as all that was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from autograms.conversation.parquet import stream_memories, write_memories
from autograms.conversation.record import Memory
from autograms.datasets import build_dpo, build_sft, stream_for_rows
from autograms.errors import RecordError
from autograms.settings import DatasetSettings
from tests.memories import desk_memory

SETTINGS = [
    DatasetSettings(),
    DatasetSettings(
        group_by=["user_kwargs.persona"],
        hold_out={"user_kwargs.persona": ["p1"]},
        tag_query="formal | decision",
        near_duplicates=0.9,
        max_tokens_total=500,
        statuses=["completed", "failed"],
    ),
]


def recorded(scenario: str) -> list[Memory]:
    memories = []
    for number in range(12):
        data = json.dumps({"user_kwargs": {"persona": f"p{number % 4}"}})
        status = "failed" if number == 5 else "completed"
        memories.append(
            desk_memory(number, scenario=scenario and f"{scenario}{number}", scenario_data=data, status=status)
        )
    offered = json.dumps({"tools": [{"type": "function", "function": {"name": "look"}}], "temperature": 1})
    memories[0].calls[1].params = offered
    return memories


@pytest.mark.parametrize("build", [build_sft, build_dpo])
@pytest.mark.parametrize("settings", SETTINGS, ids=["plain", "everything"])
@pytest.mark.parametrize("scenario", ["s", ""], ids=["scenarios", "no scenarios"])
def test_the_rows_are_the_same(tmp_path: Path, build, settings: DatasetSettings, scenario: str) -> None:
    path = tmp_path / "memories.parquet"
    write_memories(path, recorded(scenario))
    part, whole = build(stream_for_rows(path), settings), build(stream_memories(path), settings)
    assert part.table.equals(whole.table)
    assert part.table.num_rows > 0
    assert part.report == whole.report
    assert part.report.groups == build(recorded(scenario), settings).report.groups > 1


def test_what_rows_do_not_need_is_not_read(tmp_path: Path) -> None:
    write_memories(tmp_path / "m.parquet", recorded("s"))
    memory = next(stream_for_rows(tmp_path / "m.parquet"))
    assert (memory.turns, memory.calls[2].request, memory.calls[2].output is None) == ([], None, False)
    write_memories(tmp_path / "n.parquet", recorded(""))
    assert next(stream_for_rows(tmp_path / "n.parquet")).turns


def test_a_table_that_another_tool_wrote_is_read(tmp_path: Path) -> None:
    import polars

    write_memories(tmp_path / "m.parquet", recorded("s"))
    polars.read_parquet(tmp_path / "m.parquet").write_parquet(tmp_path / "other.parquet")
    expected = build_sft(stream_memories(tmp_path / "m.parquet"), SETTINGS[0]).table
    assert build_sft(stream_for_rows(tmp_path / "other.parquet"), SETTINGS[0]).table.equals(expected)


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        stream_for_rows(tmp_path / "none.parquet")
    import pyarrow as pa

    pq.write_table(pa.table({"scenario": ["s"], "calls": ["x"]}), tmp_path / "t.parquet")
    with pytest.raises(RecordError, match="holds no conversations"):
        list(stream_for_rows(tmp_path / "t.parquet"))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "u.parquet")
    with pytest.raises(RecordError, match="holds no conversations"):
        list(stream_for_rows(tmp_path / "u.parquet"))
