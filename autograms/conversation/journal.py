"""The journal on disk: every finished call of a simulation, appended before its program sees the answer.

A process that is killed at any moment loses the calls in flight and nothing else. A line that was torn by the kill
is dropped when the journal is read. Lines are JSON objects; the file grows by appending only. Where several processes
simulate together, each has a part of the journal, a file of its own beside it.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from autograms.conversation.atomic import replacing
from autograms.errors import RecordError, StorageError

__all__ = ["Journal", "gather_journal", "part_journal", "read_journal"]

_GATHERED = "gathered"
"""Field of the line that names the parts whose lines stand before it."""


class Journal:
    """An append-only file of finished calls.

    Args:
        path: The file; it is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def append(self, entry: dict[str, Any]) -> None:
        """Write one entry through to the operating system, which keeps it even if this process is killed now.

        Raises:
            StorageError: Where it cannot be written, as on a disk that is full.
        """
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        try:
            if self._file is None:
                self._file = self._open()
            written = self._file.write(line)
            while written < len(line):  # a write may end early, and tell why only when it is asked to go on
                written += self._file.write(line[written:])
        except OSError as error:
            self.close()  # the next entry begins on a line of its own
            raise StorageError(
                f"{self.path} cannot be written ({error.strerror}), and what models answer would be lost; the "
                "simulation ends here, make room and run it again: what is in the journal is not paid twice"
            ) from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - stays open until close()
        if file.tell() > 0:
            with open(self.path, "rb") as existing:
                existing.seek(-1, os.SEEK_END)
                if existing.read(1) != b"\n":
                    file.write(b"\n")
        return file


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a journal and of its parts, torn lines left out; nothing where there is no file.

    Raises:
        RecordError: Where a file cannot be read.
    """
    gathered: list[str] = []
    for entry in _lines(path):
        if _GATHERED in entry:
            gathered += _names(entry)
        else:
            yield entry
    for part in _parts(path):
        if part.name not in gathered:
            yield from _lines(part)


def part_journal(path: Path, count: int) -> list[Path]:
    """Make new, empty parts of a journal, and return them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run = os.urandom(4).hex()
    parts = [path.with_name(f"{path.name}.part-{run}-{number:04d}") for number in range(count)]
    for part in parts:
        part.touch()
    return parts


def gather_journal(path: Path) -> None:
    """Move what stands in a journal's parts into the journal, and remove them.

    A kill at any moment loses no line and doubles none: the journal is replaced at once, and says what it holds.

    Raises:
        RecordError: Where a file cannot be read.
    """
    parts = _parts(path)
    if any(part.stat().st_size for part in parts):
        gathered = [name for entry in _lines(path) for name in _names(entry)]
        new = [part for part in parts if part.name not in gathered]
        with replacing(path) as whole:
            for file in (path, *new) if path.exists() else new:
                with open(file, "rb") as source:
                    shutil.copyfileobj(source, whole)
                whole.write(b"\n")  # what was torn ends here; an empty line is no entry
            whole.write(orjson.dumps({_GATHERED: [part.name for part in new]}, option=orjson.OPT_APPEND_NEWLINE))
    for part in parts:
        part.unlink()


def _parts(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.part-*-*"))


def _names(entry: dict[str, Any]) -> list[str]:
    names = entry.get(_GATHERED)
    return names if isinstance(names, list) else []


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - opened here so that only a missing file reads as an empty journal
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordError(f"the journal {path} cannot be read: {error}") from None
    with file:
        for line in file:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(entry, dict):
                yield entry
