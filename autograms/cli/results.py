"""A simulation's folder, as the guide's commands leave it: ``example{i}.pkl`` and ``memories.parquet``.

What does not belong here: the files' formats (``autograms.conversation``).
"""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.errors import RecordError, SettingsError

if TYPE_CHECKING:
    from autograms.conversation.record import Memory

__all__ = [
    "JOURNAL",
    "TABLE",
    "alone",
    "read_results",
    "read_saved_conversation",
    "refuse_results",
    "stream_results",
    "write_results",
]

TABLE = "memories.parquet"
"""All conversations of the folder."""

JOURNAL = "calls.journal"
"""Finished calls of a simulation that has not ended yet."""
_LOCK = ".autograms.lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def refuse_results(folder: Path, *, allow_overwrite: bool) -> None:
    """Refuse a folder that holds results.

    Raises:
        SettingsError: Where it holds some and ``allow_overwrite`` is not set, or where it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--save_dir {folder} is a file; expected a folder, or a name that does not exist yet")
    results = [path.name for path in _examples(folder)] + ([TABLE] if (folder / TABLE).exists() else [])
    if results and not allow_overwrite:
        raise SettingsError(
            f"{folder} holds results already ({results[0]}"
            + (f" and {len(results) - 1} more" if len(results) > 1 else "")
            + "); name another --save_dir, or give --allow_overwrite"
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a simulation's folder, which is made: of two at once, one would remove what the other works on.

    Where the file system has no locks, a warning says so.

    Raises:
        SettingsError: Where another command is at work in it.
    """
    new, path = not folder.exists(), folder / _LOCK
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        if not _hold(path, stack):
            raise SettingsError(
                f"another command of autograms is at work in {folder}; wait for it or end it, or name another "
                "--save_dir"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            if new and not any(folder.iterdir()):
                folder.rmdir()


def _hold(path: Path, stack: ExitStack) -> bool:
    """Lock a file until the stack is left, and return whether nobody else holds it."""
    import fcntl

    try:
        lock = stack.enter_context(path.open("w"))
    except FileNotFoundError:  # the one who held it has just removed the folder
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):  # the one who held it has it, or has just removed it
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            path.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None
        warnings.warn(
            f"{path.parent} is on a file system without locks; let one command at a time work in it", stacklevel=2
        )
        return True


def write_results(folder: Path, memories: list[Memory]) -> None:
    """Write the conversations, each file whole or not at all, and remove examples of an earlier, longer simulation."""
    from autograms.conversation.parquet import write_memories
    from autograms.conversation.pickle_file import save_pickle

    for index, memory in enumerate(memories):
        save_pickle(folder / f"example{index}.pkl", memory)
    write_memories(folder / TABLE, memories)
    for path in _examples(folder):
        if _number(path)[0] >= len(memories):
            path.unlink()


def read_results(folder: Path) -> list[Memory]:
    """Read a folder's conversations: ``memories.parquet`` where it is there, else the ``.pkl`` files.

    Raises:
        SettingsError: Where the folder is missing or holds no conversations.
        RecordError: Where a file cannot be read.
    """
    from autograms.conversation.parquet import read_memories
    from autograms.conversation.pickle_file import load_pickle

    found = _found(folder)
    return list(read_memories(found)) if isinstance(found, Path) else [load_pickle(path) for path in found]


def stream_results(folder: Path) -> Iterator[Memory]:
    """Read a folder's conversations as :func:`read_results` does, a few hundred at a time, as far as rows need them.

    Raises:
        SettingsError: Where the folder is missing or holds no conversations.
        RecordError: Where a file cannot be read.
    """
    from autograms.conversation.pickle_file import load_pickle
    from autograms.datasets import stream_for_rows

    found = _found(folder)
    return stream_for_rows(found) if isinstance(found, Path) else map(load_pickle, found)


def _found(folder: Path) -> Path | list[Path]:
    """Return the table of a folder, else its ``.pkl`` files."""
    if not folder.is_dir():
        raise SettingsError(f"no folder {folder}: expected one that a simulation wrote (see --save_dir)")
    if (folder / TABLE).is_file():
        return folder / TABLE
    files = sorted(folder.glob("*.pkl"), key=_number)
    if not files:
        raise SettingsError(
            f"{folder} holds no conversations: expected {TABLE} or example0.pkl; simulate some with --save_dir {folder}"
        )
    return files


def read_saved_conversation(path: Path) -> str:
    """Return a saved conversation as JSON text, from a ``.pkl`` file or a text that ``autograms chat`` saved.

    Raises:
        RecordError: Where the file is missing or no saved conversation.
    """
    from autograms.conversation.pickle_file import load_pickle
    from autograms.conversation.saved import dumps, loads

    if path.suffix == ".pkl":
        return dumps(load_pickle(path).of_one_side("chatbot"))
    try:
        text = path.read_text(encoding="utf-8")
        loads(text)
    except OSError as error:
        raise RecordError(f"cannot read the saved conversation {path}: {error.strerror}") from None
    except (RecordError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: {error}") from None
    return text


_OWN_NAME = re.compile(r"example\d+\.pkl")


def _examples(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("example*.pkl") if _OWN_NAME.fullmatch(path.name)), key=_number)


def _number(path: Path) -> tuple[int, str]:
    digits = re.search(r"\d+", path.stem)
    return (int(digits.group()) if digits else -1, path.name)
