"""Locks of stored values: threads, machines (processes that share nothing but a store), and holders that are killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from upath import UPath

from autograms.errors import StorageError
from autograms_assets import locks
from autograms_assets.locks import alone
from autograms_assets.stored import Stored
from tests.object_store import serve_s3

BUCKET = "autograms-test"
LOG = logging.getLogger("test")
HOLDER = """
import logging, sys, time
from upath import UPath
from autograms_assets.locks import alone
from autograms_assets.stored import Stored

with alone(Stored(UPath(sys.argv[1])), logging.getLogger()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with serve_s3(BUCKET) as environment:
        yield environment


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    monkeypatch.setattr(locks, "LOOKED_AT_EVERY", 0.05)
    if request.param == "folder":
        return Stored(tmp_path / "desk.parquet")
    if request.param == "memory":
        return in_memory(monkeypatch)
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return Stored(UPath(f"s3://{BUCKET}/{uuid.uuid4().hex}/desk.parquet"))


def in_memory(monkeypatch: pytest.MonkeyPatch) -> Stored:
    """Return a place in fsspec's memory, which one thread at a time may use: who reads a file moves in it for all."""
    place = Stored(UPath(f"memory://{uuid.uuid4().hex}/desk.parquet"))
    turn = threading.RLock()

    def in_turn(act: Callable[..., object]) -> Callable[..., object]:
        def do(*args: object, **options: object) -> object:
            with turn:
                return act(*args, **options)

        return do

    for name in ("cat_file", "pipe_file", "rm_file"):
        monkeypatch.setattr(place.path.fs, name, in_turn(getattr(place.path.fs, name)))
    return place


def test_one_after_the_other(place: Stored) -> None:
    inside: list[int] = []
    most: list[int] = []

    def hold(number: int) -> None:
        with alone(place, LOG):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 6


def test_a_lock_is_given_back_after_a_failure(place: Stored) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no"), alone(place, LOG):
            raise ValueError("no")


def holder(place: Stored) -> subprocess.Popen[str]:
    """Return a process that holds the lock until it is told to go on."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place.path)],
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("place", ["folder", "s3"], indirect=True)
def test_another_process_is_waited_for(place: Stored, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    process = holder(place)
    entered = threading.Event()

    def wait() -> None:
        with alone(place, LOG):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(0.5)
    process.communicate("go on\n", timeout=60)
    waiting.join(60)
    assert entered.is_set()
    assert "another run is making this" in caplog.text


@pytest.mark.parametrize("place", ["folder", "s3"], indirect=True)
def test_a_killed_holder_keeps_nobody_out(place: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    process = holder(place)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(locks, "GONE_AFTER", 0.3)
    with alone(place, LOG):
        pass


@pytest.mark.parametrize("place", ["memory", "s3"], indirect=True)
def test_a_holder_that_lives_is_not_taken_to_be_gone(place: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEWED_EVERY", 0.05)
    monkeypatch.setattr(locks, "GONE_AFTER", 5.0)
    entered = threading.Event()

    def wait() -> None:
        with alone(place, LOG):
            entered.set()

    waiting = threading.Thread(target=wait)
    with alone(place, LOG):
        waiting.start()
        assert not entered.wait(6.0)
    waiting.join(60)
    assert entered.is_set()


@pytest.mark.parametrize("place", ["memory", "s3"], indirect=True)
def test_nothing_is_left_behind(place: Stored) -> None:
    with alone(place, LOG):
        pass
    place.path.fs.invalidate_cache()
    assert not (place.path.parent / ".desk.parquet.lock").exists()


def test_two_that_wait_for_a_dead_holder_do_not_both_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is so late in removing the dead one's lease that it removes the other's."""
    monkeypatch.setattr(locks, "LOOKED_AT_EVERY", 0.01)
    monkeypatch.setattr(locks, "GONE_AFTER", 0.1)
    place = in_memory(monkeypatch)
    lock = place.path.parent / ".desk.parquet.lock"
    lock.fs.pipe_file(lock.path, b"dead\n0")
    remove = lock.fs.rm_file
    second_is_late, first_is_in, second_is_in = threading.Event(), threading.Event(), threading.Event()
    stored: list[str] = []
    lost: list[StorageError] = []

    def removed(path: str) -> None:
        if threading.current_thread().name == "first":
            assert second_is_late.wait(60)
        elif not second_is_in.is_set():
            second_is_late.set()
            assert first_is_in.wait(60)
        remove(path)

    def hold() -> None:
        name = threading.current_thread().name
        try:
            with alone(place, LOG) as ensure_held:
                (first_is_in if name == "first" else second_is_in).set()
                if name == "first":
                    assert second_is_in.wait(60)
                ensure_held()
                stored.append(name)
        except StorageError as error:
            lost.append(error)

    monkeypatch.setattr(lock.fs, "rm_file", removed)
    threads = [threading.Thread(target=hold, name=name) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert stored == ["second"]
    assert "was lost to" in str(lost[0])
    assert "nothing was stored" in str(lost[0])


@pytest.mark.parametrize("place", ["memory", "s3"], indirect=True)
def test_a_lease_that_is_lost_lets_nothing_be_stored(place: Stored) -> None:
    with alone(place, LOG) as ensure_held:
        ensure_held()
        lock = place.path.parent / ".desk.parquet.lock"
        lock.fs.pipe_file(lock.path, b"another\n0")
        with pytest.raises(StorageError, match="was lost to another while this was made"):
            ensure_held()
    assert bytes(lock.fs.cat_file(lock.path)) == b"another\n0"
