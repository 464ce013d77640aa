from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autograms.conversation import parquet, table
from autograms.conversation.parquet import read_memories, read_table, stream_memories, write_memories
from autograms.conversation.record import Memory
from autograms.conversation.table import MEMORY_SCHEMA, memories_to_table, table_to_memories
from autograms.errors import RecordError
from tests.memories import desk_memories, desk_memory


def test_file_round_trip(tmp_path: Path) -> None:
    memories = desk_memories(5)
    write_memories(tmp_path / "new" / "memories.parquet", memories)
    assert read_memories(tmp_path / "new" / "memories.parquet") == memories
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["memories.parquet"]


def test_many_row_groups_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parquet, table):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    memories = desk_memories(10)
    write_memories(tmp_path / "m.parquet", iter(memories))
    assert pq.ParquetFile(tmp_path / "m.parquet").num_row_groups == 4
    assert list(stream_memories(tmp_path / "m.parquet")) == memories
    assert table_to_memories(memories_to_table(memories)) == memories


def test_no_memories(tmp_path: Path) -> None:
    write_memories(tmp_path / "m.parquet", [])
    assert read_memories(tmp_path / "m.parquet") == []
    assert read_table(tmp_path / "m.parquet").schema.equals(MEMORY_SCHEMA)


def test_memory_file_system() -> None:
    memories = desk_memories(2)
    write_memories("memory://bucket/folder/m.parquet", memories)
    assert read_memories("memory://bucket/folder/m.parquet") == memories


def test_metadata_is_kept(tmp_path: Path) -> None:
    write_memories(tmp_path / "m.parquet", [], metadata={"fingerprint": "abc"})
    found = pq.read_schema(tmp_path / "m.parquet").metadata
    assert (found[b"fingerprint"], found[b"autograms.schema_version"]) == (b"abc", b"1")


def test_columns_are_projected(tmp_path: Path) -> None:
    write_memories(tmp_path / "m.parquet", desk_memories(2))
    table = read_table(tmp_path / "m.parquet", columns=["scenario", "calls.list.element.cost_usd"])
    assert table.column_names == ["scenario", "calls"]
    assert table["calls"][0].as_py()[4] == {"cost_usd": 0.01}


def test_pandas_reads_plain_columns(tmp_path: Path) -> None:
    write_memories(tmp_path / "m.parquet", desk_memories(3))
    frame = pd.read_parquet(tmp_path / "m.parquet")
    assert list(frame["scenario"]) == ["s0", "s1", "s2"]
    assert frame["calls"][0][1]["primitive"] == "yes_or_no"


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"x" * 5000])
def test_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.parquet").write_bytes(content)
    with pytest.raises(RecordError, match=r"m\.parquet is damaged"):
        read_memories(tmp_path / "m.parquet")


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_memories(path, desk_memories(20))
    content = bytearray(path.read_bytes())
    content[len(content) // 8] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"m\.parquet"):
        read_memories(path)


def test_missing_file() -> None:
    with pytest.raises(RecordError, match="does not exist"):
        read_memories("nowhere/m.parquet")


def test_newer_schema_version_is_refused(tmp_path: Path) -> None:
    schema = MEMORY_SCHEMA.with_metadata({b"autograms.schema_version": b"7"})
    pq.write_table(schema.empty_table(), tmp_path / "m.parquet")
    with pytest.raises(RecordError, match=r"schema version 7.*upgrade"):
        read_memories(tmp_path / "m.parquet")


def test_another_table_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"scenario": ["s"]}), tmp_path / "m.parquet")
    with pytest.raises(RecordError, match=r"holds no conversations: the columns version, .* are missing"):
        read_memories(tmp_path / "m.parquet")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_memories(path, desk_memories(2))
    with pytest.raises(RecordError):
        write_memories(path, [desk_memory(0), desk_memory(1, seed=2**70)])
    assert len(read_memories(path)) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["m.parquet"]


def test_a_file_of_an_earlier_release_is_read(tmp_path):
    memory = Memory(autogram="bot", scenario="one", findings=["empty turn (turn 1)"], branch="2.1")
    older = memories_to_table([memory]).drop_columns(["branch", "findings"])
    pq.write_table(older, tmp_path / "older.parquet")
    (read,) = read_memories(tmp_path / "older.parquet")
    assert (read.autogram, read.branch, read.findings) == ("bot", None, [])
