"""One run at a time for each stored value: a file's lock on this machine, a lease in an object store.

A lease is a small object that its holder writes anew every few seconds, and that goes with it. One that nobody wrote
anew for a while is taken over: its holder is gone. It rests on a store's conditional writes (S3 has them, and fsspec's
memory); a store that ignores the condition gives no lock. No store removes conditionally, so a lease may be lost: to
one that is late in removing a dead one, or because its holder was out of reach. Who lost it stores nothing. What does
not belong here: what is made under a lock (``reuse``).
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.errors import StorageError
from autograms_assets.stored import Folder, Stored

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["alone"]

RENEWED_EVERY = 15.0
"""Seconds between two writes of a lease by its holder."""
GONE_AFTER = 120.0
"""Seconds without a write after which a lease's holder is taken to be gone, by the clock of the one who waits."""
LOOKED_AT_EVERY = 2.0
"""Seconds between two looks at a lease that another holds."""


@contextmanager
def alone(place: Stored | Folder, log: logging.Logger) -> Iterator[Callable[[], None]]:
    """Hold the place's lock: two runs that want the same value make it once.

    Args:
        place: Where the value is stored.
        log: Told where another run has to be waited for.

    Yields:
        What raises :class:`~autograms.errors.StorageError` where the lock was lost meanwhile. It is to be called right
        before the value is stored.
    """
    lock = place.path.parent / f".{place.path.name}.lock"
    with _file_lock(lock, log) if isinstance(lock, Path) else _lease(lock, log) as ensure_held:
        yield ensure_held


@contextmanager
def _file_lock(lock: Path, log: logging.Logger) -> Iterator[Callable[[], None]]:
    import fcntl

    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another run is making this; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield lambda: None  # the system takes no lock away


@contextmanager
def _lease(lock: "UPath", log: logging.Logger) -> Iterator[Callable[[], None]]:
    holder = f"{socket.gethostname()}, process {os.getpid()}, {os.urandom(4).hex()}"
    _take(lock, holder, log)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lock, holder, ended, log), daemon=True)
    renewing.start()
    try:
        lock.fs.invalidate_cache()  # what was listed before may be older than what the last holder wrote
        yield partial(_ensure_held, lock, holder)
    finally:
        ended.set()
        renewing.join()
        if _holder_of(_read(lock)) == holder:
            with suppress(FileNotFoundError):
                lock.fs.rm_file(lock.path)


def _take(lock: "UPath", holder: str, log: logging.Logger) -> None:
    seen, since, told, left = "", time.monotonic(), False, False
    while True:
        if _made(lock, holder):
            if left:  # another that waited for the same dead one may be about to remove it, and would remove this one
                time.sleep(LOOKED_AT_EVERY)
            if _holder_of(_read(lock)) == holder:
                return
        found = _read(lock)
        if found != seen:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since > GONE_AFTER:
            log.warning(f"{_holder_of(found)} left {lock} behind; going on without it")
            left = True
            if _read(lock) == found:
                with suppress(FileNotFoundError):
                    lock.fs.rm_file(lock.path)
            continue
        if not told:
            log.info(f"another run is making this ({_holder_of(found)}); waiting for it")
            told = True
        time.sleep(LOOKED_AT_EVERY)


def _renew(lock: "UPath", holder: str, ended: threading.Event, log: logging.Logger) -> None:
    while not ended.wait(RENEWED_EVERY):
        with suppress(Exception):  # a store that does not answer now may answer the next time
            if _holder_of(_read(lock)) != holder:
                log.warning(f"{lock} is no longer this run's: what it makes will not be stored")
                return
            lock.fs.pipe_file(lock.path, _text(holder))


def _ensure_held(lock: "UPath", holder: str) -> None:
    now = _holder_of(_read(lock))
    if now != holder:
        raise StorageError(
            f"{lock} was lost to {now or 'another run'} while this was made, and nothing was stored, so that no two "
            f"results are mixed; run it again, what was paid for is kept. A lease is taken over where nobody renews it "
            f"for {GONE_AFTER:g} s: did this machine sleep, or was the store out of reach?"
        )


def _made(lock: "UPath", holder: str) -> bool:
    try:
        lock.fs.pipe_file(lock.path, _text(holder), mode="create")
    except FileExistsError:
        return False
    return True


def _text(holder: str) -> bytes:
    return f"{holder}\n{time.time()}".encode()


def _read(lock: "UPath") -> str:
    try:
        return bytes(lock.fs.cat_file(lock.path)).decode()
    except FileNotFoundError:
        return ""


def _holder_of(text: str) -> str:
    return text.partition("\n")[0]
