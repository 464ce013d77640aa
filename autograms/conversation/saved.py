"""A memory as JSON text: what ``Autogram.serialize`` returns.

The calls and turns stand by column, and columns with few distinct values stand as a dictionary and indices, so that
a long conversation is small and quick to read: resuming reads all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat, starmap
from typing import Any

import orjson

from autograms.conversation.checking import CALL_TYPES, TURN_TYPES, check_indices, check_types, check_version
from autograms.conversation.record import PLAIN_FIELDS, Call, Memory, Prompt, Turn, plain_fields
from autograms.errors import RecordError

__all__ = ["dumps", "loads"]

_CALL_FIELDS = tuple(Call.__dataclass_fields__)
_TURN_FIELDS = tuple(Turn.__dataclass_fields__)
_TUPLES = frozenset({"choices", "rejected", "tags"})
_MISSING: dict[str, Any] = {**dict.fromkeys(_TUPLES, ()), **dict.fromkeys(("supervised", "reused"), False)}
"""What the values of a column that is left out are, where they are not ``None``."""


def dumps(memory: Memory) -> str:
    """Return a memory as JSON text.

    Raises:
        RecordError: Where the root function was given keywords that are no plain data.
    """
    if memory.unsaveable is not None:
        raise RecordError(
            f"the memory cannot be saved: {memory.unsaveable} is no plain data; give the root function texts, "
            "numbers, lists and mappings"
        )
    data = {
        **plain_fields(memory),
        "messages": memory.messages,
        "history": memory.history,
        "calls": _columns(memory.calls, _CALL_FIELDS),
        "turns": _columns(memory.turns, _TURN_FIELDS),
    }
    return orjson.dumps(data).decode()


def loads(text: str | bytes) -> Memory:
    """Read a memory from its JSON text.

    Raises:
        RecordError: Where the text is no saved memory, or one of a newer release.
    """
    try:
        data = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise RecordError(f"not a saved memory: {error}") from None
    if not isinstance(data, dict) or not {"version", "calls", "turns", "messages", "history"} <= data.keys():
        raise RecordError("not a saved memory: expected an object with version, messages, history, calls and turns")
    check_version(data["version"])
    try:
        memory = Memory(
            **{name: data.pop(name) for name in PLAIN_FIELDS if name in data},
            messages=list(map(tuple, data.pop("messages"))),
            history=list(map(tuple, data.pop("history"))),
            calls=_rows(Call, _CALL_FIELDS, data.pop("calls"), CALL_TYPES),
            turns=_rows(Turn, _TURN_FIELDS, data.pop("turns"), TURN_TYPES),
            checked=True,
        )
        if data:
            raise ValueError(f"unknown field {sorted(data)[0]!r}")
        check_indices(memory)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RecordError(f"the saved memory is damaged: {type(error).__name__}: {error}") from error
    return memory


def _columns(items: list[Any], fields: tuple[str, ...]) -> dict[str, Any]:
    columns: dict[str, Any] = {"count": len(items)}
    for name in fields:
        values = [getattr(item, name) for item in items]
        if name == "prompt":
            values = [tuple(value) for value in values]
        distinct = {value: index for index, value in enumerate(dict.fromkeys(values))}
        if distinct.keys() <= {_MISSING.get(name)}:
            continue
        if len(distinct) * 2 <= len(values):
            columns[name] = {"of": list(distinct), "at": [distinct[value] for value in values]}
        else:
            columns[name] = values
    return columns


def _rows(
    make: Callable[..., Any], fields: tuple[str, ...], columns: dict[str, Any], types: dict[str, frozenset[type]]
) -> list[Any]:
    count = columns.pop("count")
    unknown = columns.keys() - set(fields)
    if unknown:
        raise ValueError(f"unknown column {sorted(unknown)[0]!r}")
    values = [_values(name, columns.get(name), count, types.get(name)) for name in fields]
    return list(map(make, *values))


def _values(name: str, column: Any, count: int, types: frozenset[type] | None) -> Iterable[Any]:
    if column is None:
        return repeat(_MISSING.get(name), count)
    values = column["of"] if isinstance(column, dict) else column
    if name in _TUPLES:
        values = [tuple(value) for value in values]
        check_types(f"the column {name!r}", chain.from_iterable(values), frozenset({str}))
    elif name == "prompt":
        values = list(starmap(Prompt, values))
    if types is not None:
        check_types(f"the column {name!r}", values, types)
    if isinstance(column, dict):
        at = column["at"]
        if at and min(at) < 0:
            raise IndexError(f"the column {name!r} points at {min(at)}")
        values = [values[index] for index in at]
    if len(values) != count:
        raise ValueError(f"the column {name!r} has {len(values)} values, expected {count}")
    return values
