import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from upath import UPath

from autograms_assets.reuse import FORCE_TAG, AssetConfig, Made, Request, reuse_or_make
from autograms_assets.stamps import Verdict
from autograms_assets.stored import Folder, Stored


class Counted:
    """A maker that counts how often it was asked."""

    def __init__(self, version: str = "v1") -> None:
        self.times = 0
        self.version = version

    def __call__(self) -> Made:
        self.times += 1
        return Made(self.version, {"rows": 1, "nothing": None, "text": {"md": "*x*"}}, table=pa.table({"a": [1]}))


@pytest.fixture
def place(tmp_path: Path) -> Stored:
    return Stored(UPath(tmp_path / "scenarios" / "desk.parquet"))


@pytest.fixture
def make() -> Counted:
    return Counted()


def ask(place: Stored | Folder, make: Callable[[], Made], *, force: bool = False, **depends_on: Any) -> dict[str, Any]:
    result = reuse_or_make(place, depends_on, make, request=Request(force, logging.getLogger("test")))
    assert isinstance(result.data_version, dg.DataVersion)
    return {"version": result.data_version.value, **(result.metadata or {})}


def test_made_once_for_the_same_inputs(place: Stored, make: Counted) -> None:
    first, again = (ask(place, make, a=1) for _ in range(2))
    assert (make.times, first["reused"], again["reused"]) == (1, False, True)
    assert first["version"] == again["version"] == "v1"
    assert "nothing" not in first


def test_made_again_for_other_inputs_and_says_which(place: Stored, make: Counted) -> None:
    ask(place, make, a=1, b=1)
    assert ask(place, make, a=1, b=2)["made because"] == "changed: b"
    assert ask(place, make, a=1)["made because"] == "changed: b"


def test_force_in_the_configuration(place: Stored, make: Counted) -> None:
    ask(place, make, a=1)
    assert ask(place, make, force=True, a=1)["made because"] == "forced"


@pytest.mark.parametrize(("value", "times"), [("true", 2), ("1", 2), ("false", 1), ("", 1)])
def test_force_as_a_tag(place: Stored, make: Counted, value: str, times: int) -> None:
    @dg.asset
    def desk(context: dg.AssetExecutionContext, config: AssetConfig) -> dg.MaterializeResult:
        return reuse_or_make(place, {"a": 1}, make, request=Request.of(context, config))

    for tags in ({}, {FORCE_TAG: value}):
        assert dg.materialize([desk], tags=tags).success
    assert make.times == times


def test_what_does_not_hold_is_made_again(place: Stored, make: Counted) -> None:
    ask(place, make, a=1)
    request = Request(False, logging.getLogger("test"))
    reuse_or_make(place, {"a": 1}, make, request=request, holds=lambda stamp: False)
    assert make.times == 2


def test_a_maker_that_fails_stores_nothing(place: Stored) -> None:
    def fail() -> Made:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ask(place, fail, a=1)
    assert not place.exists()


def test_a_folder_gets_its_stamp_last(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "model", tmp_path / "model")

    def make() -> Made:
        folder.path.mkdir()
        assert not folder.exists()
        return Made("v2", {})

    assert ask(folder, make, a=1)["version"] == "v2"
    assert ask(folder, make, a=1)["reused"]


def test_two_at_once_make_it_once(place: Stored) -> None:
    started, proceed = threading.Event(), threading.Event()
    make = Counted()

    def slow() -> Made:
        started.set()
        assert proceed.wait(10)
        return make()

    found: list[dict[str, Any]] = []

    def run() -> None:
        found.append(ask(place, slow, a=1))

    threads = [threading.Thread(target=run) for _ in range(2)]
    threads[0].start()
    assert started.wait(10)
    threads[1].start()
    proceed.set()
    for thread in threads:
        thread.join(20)
    assert make.times == 1
    assert sorted(item["reused"] for item in found) == [False, True]


def test_a_finding_of_a_check_that_is_no_more_is_not_told(tmp_path: Path) -> None:
    place, log = Folder(tmp_path / "made", tmp_path / "made"), logging.getLogger("test")
    place.work.mkdir()
    made = Made("v", checks=(Verdict("old", True, "fine"), Verdict("kept", True, "fine")))
    for force in (True, False):
        request = Request(force, log, frozenset({"kept"}))
        result = reuse_or_make(place, {"a": 1}, lambda: made, request=request)
        assert [found.check_name for found in result.check_results or ()] == ["kept"]
