"""The journal on disk: every finished call of a simulation, appended before its program sees the answer.

A process that is killed at any moment loses the calls in flight and nothing else. A line that was torn by the kill
is dropped when the journal is read. Lines are JSON objects; the file grows by appending only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from autograms.errors import RecordError

__all__ = ["Journal", "read_journal"]


class Journal:
    """An append-only file of finished calls.

    Args:
        path: The file; it is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def append(self, entry: dict[str, Any]) -> None:
        """Write one entry through to the operating system, which keeps it even if this process is killed now."""
        if self._file is None:
            self._file = self._open()
        self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

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
    """Yield the entries of a journal, torn lines left out; nothing where there is no file.

    Raises:
        RecordError: Where the file cannot be read.
    """
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
