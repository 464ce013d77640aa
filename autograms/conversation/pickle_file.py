"""Conversations as ``.pkl`` files: a pickle of plain containers, read by an unpickler that resolves nothing.

What belongs here: the restricted reading and the writing of such files. What does not: any other use of pickle, of
which there is none.
"""

from __future__ import annotations

import base64
import binascii
import io
import pickle
import pickletools
from typing import TYPE_CHECKING, Any, NoReturn

from autograms.conversation.atomic import AnyPath, replacing, storage_path
from autograms.conversation.checking import check
from autograms.conversation.foreign import is_foreign, memory_from_foreign
from autograms.conversation.record import Memory
from autograms.errors import RecordError

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["MAX_BYTES", "load_pickle", "save_pickle"]

MAX_BYTES = 256 * 2**20
"""Larger files are refused: one conversation does not take that much."""

_REFUSED_OPCODES = {"BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
_PLAIN = (str, int, float, bool, type(None))
_READ_ERRORS = (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError)


def save_pickle(path: AnyPath | UPath, memory: Memory) -> None:
    """Write a conversation, whole or not at all, as a pickle of plain containers.

    Args:
        path: The file.
        memory: The conversation; its running program, where there is one, is not stored.
    """
    data = pickle.dumps(memory.to_dict(), protocol=4)
    with replacing(path) as file:
        file.write(data)


def load_pickle(path: AnyPath | UPath) -> Memory:
    """Read a conversation from a ``.pkl`` file, this project's or AutoGRAMS', that holds plain data only.

    Raises:
        RecordError: Where the file is missing, damaged, too large, no conversation, or asks for any class or
            function, which the message names; nothing that the file names is ever imported or run.
    """
    raw = _decoded(_read(path))
    try:
        _scan(raw)
        data = _Unpickler(io.BytesIO(raw)).load()
        _check_plain(data)
        memory = memory_from_foreign(data) if is_foreign(data) else Memory.from_dict(data)
        check(memory)
        return memory
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None
    except (*_READ_ERRORS, MemoryError, RecursionError, OverflowError) as error:
        raise RecordError(f"{path} is damaged or no pickle: {error}") from None


def _read(path: AnyPath | UPath) -> bytes:
    try:
        with storage_path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RecordError(f"no conversation at {path}: the file does not exist") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error}") from None
    if len(raw) > MAX_BYTES:
        raise RecordError(f"{path} is larger than {MAX_BYTES // 2**20} MiB, which no saved conversation is")
    return raw


def _decoded(raw: bytes) -> bytes:
    if raw[:1] == b"\x80":
        return raw
    try:
        return base64.b64decode(raw.strip(), validate=True)
    except binascii.Error:
        return raw


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise RecordError(
            f"refused: the pickle asks for {module}.{name}; expected plain data (dicts, lists, texts, numbers). "
            "A saved conversation asks for nothing, so this file was made by something else, or to do harm"
        )


def _scan(raw: bytes) -> None:
    """Refuse what would reserve memory beyond the file's own size, or reach outside it, before anything is read."""
    limit = len(raw)
    for opcode, argument, _ in pickletools.genops(raw):
        if opcode.name in _REFUSED_OPCODES:
            raise RecordError(f"refused: the pickle uses {opcode.name}, which saved conversations do not")
        if opcode.name in ("LONG_BINPUT", "PUT") and int(argument or 0) > limit:
            raise RecordError("refused: the pickle numbers more objects than it holds")


def _check_plain(data: Any) -> None:
    """Refuse values beyond JSON's types, and containers that hold themselves or are reached very often."""
    pending, left = [data], MAX_BYTES // 16
    while pending:
        value = pending.pop()
        left -= 1
        if left < 0:
            raise RecordError("refused: the containers hold themselves, or one another without end")
        if isinstance(value, dict):
            pending.extend(value.values())
            pending.extend(key for key in value if not isinstance(key, str))
        elif isinstance(value, (list, tuple)):
            pending.extend(value)
        elif not isinstance(value, _PLAIN):
            raise RecordError(f"refused: it holds a {type(value).__name__}; expected dicts, lists, texts and numbers")
