"""A memory as JSON text: what ``Autogram.serialize`` returns.

Everything stands by column, and columns with few distinct values stand as these and indices, so that a long
conversation is small and quick to read: resuming reads all of it.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import orjson

from autograms.conversation.checking import CALL_TYPES, TURN_TYPES, check_indices, check_types, check_version
from autograms.conversation.record import PLAIN_FIELDS, Call, Memory, Prompt, Turn, plain_fields
from autograms.errors import RecordError

__all__ = ["dumps", "loads"]

_MESSAGE = ("role", "content", "extra")
_NODE = ("parent", "message")
_CALL = tuple(Call.__dataclass_fields__)
_TURN = tuple(Turn.__dataclass_fields__)
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
    prompts = _packed(Prompt._fields, list(zip(*[call.prompt for call in memory.calls], strict=True)))
    data = {
        **plain_fields(memory),
        "messages": _packed(_MESSAGE, list(zip(*memory.messages, strict=True))),
        "history": _packed(_NODE, list(zip(*memory.history, strict=True))),
        "calls": {**_fields(memory.calls, _CALL), "prompt": prompts},
        "turns": _fields(memory.turns, _TURN),
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
        calls, turns = data.pop("calls"), data.pop("turns")
        prompts = map(partial(tuple.__new__, Prompt), zip(*_columns(Prompt._fields, calls.pop("prompt")), strict=True))
        memory = Memory(
            **{name: data.pop(name) for name in PLAIN_FIELDS if name in data},
            messages=list(zip(*_columns(_MESSAGE, data.pop("messages")), strict=True)),
            history=list(zip(*_columns(_NODE, data.pop("history")), strict=True)),
            calls=list(map(Call, *_columns(_CALL, calls, CALL_TYPES, prompt=list(prompts)))),
            turns=list(map(Turn, *_columns(_TURN, turns, TURN_TYPES))),
            checked=True,
        )
        if data:
            raise ValueError(f"unknown field {sorted(data)[0]!r}")
        check_indices(memory)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RecordError(f"the saved memory is damaged: {type(error).__name__}: {error}") from error
    return memory


# ------------------------------------------------------------------------------------------------------------ columns


def _fields(items: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return objects by column."""
    return _packed(names, [[getattr(item, name) for item in items] for name in names if name != "prompt"])


def _packed(names: tuple[str, ...], columns: list[Any]) -> dict[str, Any]:
    """Return columns by name: left out where there is nothing in them, as distinct values and indices where few."""
    names = tuple(name for name in names if name != "prompt")
    packed: dict[str, Any] = {"count": len(columns[0]) if columns else 0}
    for name, values in zip(names, columns, strict=False):
        distinct = {value: index for index, value in enumerate(dict.fromkeys(values))}
        if distinct.keys() <= {_MISSING.get(name)}:
            continue
        if len(distinct) * 2 <= len(values):
            packed[name] = {"of": list(distinct), "at": [distinct[value] for value in values]}
        else:
            packed[name] = values
    return packed


def _columns(
    names: tuple[str, ...], packed: dict[str, Any], types: dict[str, frozenset[type]] | None = None, **ready: list[Any]
) -> list[list[Any]]:
    """Return packed columns in the order of their names, those that are ready already among them."""
    count = packed.pop("count")
    unknown = packed.keys() - set(names)
    if type(count) is not int or count < 0 or unknown:
        raise ValueError(f"unknown column {sorted(unknown)[0]!r}" if unknown else f"the count is {count!r}")
    columns = dict(ready)
    for name in packed:
        columns[name] = _values(name, packed[name], types[name] if types else None)
    for name, values in columns.items():
        if len(values) != count:
            raise ValueError(f"the column {name!r} has {len(values)} values, expected {count}")
    if count and not columns:  # nothing shows that the count is true, and it may be any number
        raise ValueError(f"no column has the {count} values that there should be")
    return [columns[name] if name in columns else [_MISSING.get(name)] * count for name in names]


def _values(name: str, column: Any, types: frozenset[type] | None) -> list[Any]:
    values = column["of"] if isinstance(column, dict) else column
    if name in _TUPLES:
        values = list(map(tuple, values))
        check_types(f"the column {name!r}", chain.from_iterable(values), frozenset({str}))
    if types is not None:
        check_types(f"the column {name!r}", values, types)
    if isinstance(column, dict):
        at = column["at"]
        if at and min(at) < 0:
            raise IndexError(f"the column {name!r} points at {min(at)}")
        values = [values[index] for index in at]
    return values
