from __future__ import annotations

import base64
import collections
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from autograms.conversation import pickle_file
from autograms.conversation.pickle_file import load_pickle, save_pickle
from autograms.conversation.record import Memory
from autograms.errors import RecordError
from tests.memories import any_memory, desk_memory


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch /tmp/autograms-was-here",))


def test_round_trip(tmp_path: Path) -> None:
    save_pickle(tmp_path / "d" / "example0.pkl", desk_memory(3))
    assert load_pickle(tmp_path / "d" / "example0.pkl") == desk_memory(3)


@given(any_memory)
@settings(max_examples=40, deadline=None)
def test_any_memory_round_trips(tmp_path_factory: pytest.TempPathFactory, memory: Memory) -> None:
    path = tmp_path_factory.mktemp("pkl") / "m.pkl"
    save_pickle(path, memory)
    assert load_pickle(path) == memory


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(desk_memory().to_dict(), protocol))
    assert load_pickle(tmp_path / "m.pkl") == desk_memory()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_file_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"version": 1, "calls": [Hostile()]}, protocol))
    with pytest.raises(RecordError, match=r"m\.pkl: refused: the pickle asks for posix\.system"):
        load_pickle(tmp_path / "m.pkl")
    assert not Path("/tmp/autograms-was-here").exists()


@pytest.mark.parametrize("value", [collections.OrderedDict(), pickle, RecordError, 1j])
def test_harmless_classes_are_refused_too(tmp_path: Path, value: Any) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"x": getattr(value, "dumps", value)}))
    with pytest.raises(RecordError, match="refused: the pickle asks for"):
        load_pickle(tmp_path / "m.pkl")


@pytest.mark.parametrize("value", [b"bytes", frozenset({1}), {1}])
def test_values_beyond_plain_data_are_refused(tmp_path: Path, value: Any) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({**desk_memory().to_dict(), "autogram": value}))
    with pytest.raises(RecordError, match="it holds a"):
        load_pickle(tmp_path / "m.pkl")


def test_a_container_that_holds_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_file, "MAX_BYTES", 10_000)
    loop: list[Any] = []
    loop.append(loop)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(loop))
    with pytest.raises(RecordError, match="hold themselves"):
        load_pickle(tmp_path / "m.pkl")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "numbers more objects than it holds"),
        (b"Np99999999999\n.", "numbers more objects than it holds"),
        (b"\x80\x05\x96\x00\x00\x00\x00\xff\x00\x00\x00.", "(BYTEARRAY8|damaged)"),
        (b"\x80\x05\x96\x01\x00\x00\x00\x00\x00\x00\x00a.", "uses BYTEARRAY8"),
        (b"\x80\x02\x82\x01.", "uses EXT1"),
        (b"\x80\x02NQ.", "uses BINPERSID"),
    ],
)
def test_what_would_reserve_memory_or_reach_outside_is_refused(tmp_path: Path, raw: bytes, problem: str) -> None:
    (tmp_path / "m.pkl").write_bytes(raw)
    with pytest.raises(RecordError, match=problem):
        load_pickle(tmp_path / "m.pkl")


@pytest.mark.parametrize("raw", [b"", b"hello", b"\x80\x04", b"\x80\x04K\x01.", b"\x80\x04]\x94.", b"\xff" * 50])
def test_damaged_or_other_files_are_named(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "m.pkl").write_bytes(raw)
    with pytest.raises(RecordError, match=r"m\.pkl"):
        load_pickle(tmp_path / "m.pkl")


def test_truncated_file_is_named(tmp_path: Path) -> None:
    save_pickle(tmp_path / "m.pkl", desk_memory())
    content = (tmp_path / "m.pkl").read_bytes()
    (tmp_path / "m.pkl").write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordError, match=r"m\.pkl"):
        load_pickle(tmp_path / "m.pkl")


def test_too_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_file, "MAX_BYTES", 100)
    save_pickle(tmp_path / "m.pkl", desk_memory())
    with pytest.raises(RecordError, match="larger than"):
        load_pickle(tmp_path / "m.pkl")


def test_missing_file() -> None:
    with pytest.raises(RecordError, match="does not exist"):
        load_pickle("nowhere/m.pkl")


def test_base64_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(base64.b64encode(pickle.dumps(desk_memory().to_dict())) + b"\n")
    assert load_pickle(tmp_path / "m.pkl") == desk_memory()
