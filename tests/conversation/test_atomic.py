from __future__ import annotations

from pathlib import Path

import pytest
from upath import UPath

from autograms.conversation.atomic import replacing, storage_path


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with replacing(tmp_path / "a" / "b.txt") as file:
        file.write(b"new")
        assert not (tmp_path / "a" / "b.txt").exists()
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"new"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"old")
    with pytest.raises(TypeError), replacing(tmp_path / "b.txt") as file:
        file.writelines([b"new", None])  # type: ignore[list-item]
    assert (tmp_path / "b.txt").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_object_store_gets_the_whole_file_or_none() -> None:
    target = UPath("memory://atomic/folder/b.txt")
    with pytest.raises(TypeError), replacing(target) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert not target.exists()
    with replacing(target) as file:
        file.write(b"whole")
    assert target.read_bytes() == b"whole"


@pytest.mark.parametrize("path", ["a/b", Path("a/b")])
def test_local_paths(path: str | Path) -> None:
    assert storage_path(path) == Path("a/b")


def test_file_url_is_local(tmp_path: Path) -> None:
    assert storage_path(f"file://{tmp_path}") == tmp_path
    assert isinstance(storage_path(UPath(tmp_path)), Path)
