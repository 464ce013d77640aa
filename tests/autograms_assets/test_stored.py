from pathlib import Path

import pyarrow as pa
import pytest
from upath import UPath

from autograms.errors import RecordError, SettingsError
from autograms_assets.partitions import is_partition_name
from autograms_assets.stamps import STAMP_FILE, Stamp, Verdict, stamped
from autograms_assets.stored import Folder, Stored
from autograms_assets.workspace import Workspace

STAMP = Stamp("f" * 32, "v1", {"program": "abc"}, {"rows": 2, "text": {"md": "é"}}, (Verdict("ok", True, "fine"),), 1.5)
TABLE = pa.table({"a": [1, 2]})


def test_a_stamp_comes_back_as_it_was() -> None:
    assert Stamp.from_json(STAMP.to_json()) == STAMP


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"fingerprint": 1}', '{"checks": 3}'])
def test_what_is_no_stamp_counts_as_none(text: str) -> None:
    assert Stamp.from_json(text) is None


def test_a_table_carries_its_stamp(tmp_path: Path) -> None:
    place = Stored(UPath(tmp_path / "t.parquet"))
    assert place.stamp() is None
    assert place.write(stamped(TABLE, STAMP).to_reader()) == 2
    assert (place.stamp(), place.version) == (STAMP, "v1")
    assert place.table().equals(TABLE)
    assert place.batches().read_all().equals(TABLE)


def test_other_metadata_stays(tmp_path: Path) -> None:
    place = Stored(UPath(tmp_path / "t.parquet"))
    place.write(stamped(TABLE.replace_schema_metadata({"schema_version": "1"}), STAMP).to_reader())
    assert (place.schema().metadata or {})[b"schema_version"] == b"1"


def test_a_foreign_table_has_no_version(tmp_path: Path) -> None:
    place = Stored(UPath(tmp_path / "t.parquet"))
    place.write(TABLE.to_reader())
    with pytest.raises(RecordError, match=r"t\.parquet carries no stamp .*materialize it again"):
        _ = place.version


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" * 100])
def test_a_damaged_table_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(data)
    place = Stored(UPath(tmp_path / "t.parquet"))
    assert place.stamp() is None
    with pytest.raises(RecordError, match=r"t\.parquet is not a whole Parquet file"):
        place.table()


def test_a_folder_is_stored_once_it_is_stamped(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "model", tmp_path / "model")
    (tmp_path / "model").mkdir()
    assert (folder.exists(), folder.stamp()) == (False, None)
    folder.write(STAMP)
    assert (folder.exists(), folder.version) == (True, "v1")
    folder.invalidate()
    assert not folder.exists()
    with pytest.raises(RecordError, match="carries no stamp"):
        _ = folder.version


def test_finished_folders_are_listed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, UPath(tmp_path))
    for name in ("one", "two", ".one.work"):
        (tmp_path / "evaluation" / name).mkdir(parents=True)
    for name in ("one", ".one.work"):
        (tmp_path / "evaluation" / name / STAMP_FILE).write_text(STAMP.to_json())
    assert list(workspace.folders("evaluation")) == ["one"]
    assert workspace.folders("sft_model") == {}


def test_places_below_the_storage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, UPath(tmp_path))
    assert str(workspace.stored("scenarios", "desk").path) == str(tmp_path / "scenarios" / "desk.parquet")
    assert str(workspace.stored("leaderboard").path) == str(tmp_path / "leaderboard.parquet")
    assert workspace.folder("sft_model", "desk").path == tmp_path / "sft_model" / "desk"
    assert workspace.scratch("conversation_memories", "desk").is_dir()


@pytest.mark.parametrize("name", ["../desk", "a/b", "", ".", "..", "a b", "a,b", "a|b", "-x", ".hidden", "a\n"])
def test_hostile_names_reach_no_path(tmp_path: Path, name: str) -> None:
    assert not is_partition_name(name)
    with pytest.raises(SettingsError, match="cannot name an autogram"):
        Workspace(tmp_path, UPath(tmp_path)).stored("scenarios", name)


@pytest.mark.parametrize("name", ["desk", "Desk_2", "a.b-c", "7up"])
def test_plain_names_are_partitions(name: str) -> None:
    assert is_partition_name(name)
