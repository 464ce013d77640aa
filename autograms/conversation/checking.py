"""Whether a memory that was read holds together: types, indices, no circle in its history.

A memory may come from anywhere. Everything behind this check can follow its indices without a look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter, lt
from typing import TYPE_CHECKING, Any

from autograms.errors import RecordError

if TYPE_CHECKING:
    from autograms.conversation.record import Memory

__all__ = ["CALL_TYPES", "TURN_TYPES", "check", "check_indices", "check_types", "check_version"]

_Types = frozenset[type]
_TEXT: _Types = frozenset({str})
_TEXT_OR_NONE: _Types = frozenset({str, type(None)})
_COUNT: _Types = frozenset({int})
_NUMBER: _Types = frozenset({int, float})
_NUMBER_OR_NONE: _Types = _NUMBER | {type(None)}
_ROLES = frozenset({"assistant", "user", "external", "moved"})
_PLAIN_TYPES: dict[str, _Types] = {
    **dict.fromkeys(("autogram", "scenario", "fingerprint", "status"), _TEXT),
    **dict.fromkeys(("error", "error_message", "error_place", "error_side", "scenario_data"), _TEXT_OR_NONE),
    "branch": _TEXT_OR_NONE,
    "findings": frozenset({list}),
    "seed": _COUNT,
}
CALL_TYPES: dict[str, _Types] = {
    **dict.fromkeys(("primitive", "kind", "side"), _TEXT),
    **dict.fromkeys(("output", "schema", "place", "supervisor", "model", "params", "request", "error"), _TEXT_OR_NONE),
    **dict.fromkeys(("score", "cost_usd"), _NUMBER_OR_NONE),
    **dict.fromkeys(("input_tokens", "output_tokens", "milliseconds"), _NUMBER),
    **dict.fromkeys(("supervised", "reused"), frozenset({bool})),
    "parent": frozenset({int, type(None)}),
    **dict.fromkeys(("choices", "rejected", "tags"), frozenset({tuple})),
}
"""What the fields of a call may hold; ``prompt`` aside."""
TURN_TYPES: dict[str, _Types] = {
    "role": _TEXT,
    "after": _COUNT,
    **dict.fromkeys(("content", "address", "data", "kwargs"), _TEXT_OR_NONE),
}
"""What the fields of a turn may hold."""


def check_version(version: Any) -> None:
    """Refuse the record of a newer release.

    Raises:
        RecordError: With the versions.
    """
    from autograms.conversation.record import SCHEMA_VERSION

    if type(version) is not int or version < 1:
        raise RecordError(f"not a saved memory: the schema version is {version!r}")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"the memory has schema version {version}, this release reads up to {SCHEMA_VERSION}; upgrade autograms"
        )


def check(memory: Memory) -> None:
    """Refuse a memory whose values have the wrong type, or whose indices lead nowhere or in a circle.

    Raises:
        RecordError: Naming what is damaged.
    """
    if memory.checked:
        return
    try:
        check_version(memory.version)
        for name, types in CALL_TYPES.items():
            check_types(f"{name} of a call", [getattr(call, name) for call in memory.calls], types)
        for name in ("choices", "rejected", "tags"):
            texts = chain.from_iterable([getattr(call, name) for call in memory.calls])
            check_types(f"{name} of a call", texts, _TEXT)
        for name, types in TURN_TYPES.items():
            check_types(f"{name} of a turn", [getattr(turn, name) for turn in memory.turns], types)
        check_indices(memory)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise RecordError(f"the saved memory is damaged: {type(error).__name__}: {error}") from error
    memory.checked = True


def check_indices(memory: Memory) -> None:
    """Refuse a memory whose single values have the wrong type, or whose indices lead nowhere or in a circle.

    The types of its calls' and turns' fields were seen to be right before.

    Raises:
        TypeError: For a value of the wrong type.
        ValueError: For an index.
    """
    for name, types in _PLAIN_TYPES.items():
        check_types(name, [getattr(memory, name)], types)
    check_types("a finding", memory.findings, _TEXT)
    roles, contents, extras = _parts(memory.messages, 3)
    check_types("a message", chain(roles, contents), _TEXT)
    check_types("a message's extra", extras, _TEXT_OR_NONE)
    parents, messages = _parts(memory.history, 2)
    _indices("the history", messages, 0, len(memory.messages))
    _indices("the history", parents, -1, len(memory.history))
    if not all(map(lt, parents, range(len(parents)))):
        raise ValueError("the history: a node stands before the one that it follows")
    _calls(memory)
    unknown = {turn.role for turn in memory.turns} - _ROLES
    if unknown:
        raise ValueError(f"a turn has the role {sorted(unknown)[0]!r}")
    _indices("a turn's calls", [turn.after for turn in memory.turns], 0, len(memory.calls) + 1)


def _calls(memory: Memory) -> None:
    systems, firsts, lasts, asks = _parts([call.prompt for call in memory.calls], 4)
    for indices in (systems, asks):
        _indices("the prompt of a call", indices, -1, len(memory.messages))
    for indices in (firsts, lasts):
        _indices("the prompt of a call", indices, -1, len(memory.history))
    for number, call in enumerate(memory.calls):
        if call.parent is not None and not 0 <= call.parent < number:
            raise ValueError(f"call {number + 1} has the parent {call.parent}, which does not stand before it")


def _parts(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Return the columns of rows; ``zip(*rows)`` makes an iterator a row, which sets the garbage collector off."""
    if set(map(len, rows)) - {width}:
        raise ValueError(f"a row has {max(map(len, rows))} values, expected {width}")
    return [list(map(itemgetter(number), rows)) for number in range(width)]


def check_types(what: str, values: Iterable[Any], types: _Types) -> None:
    """Refuse values of the wrong type.

    Raises:
        TypeError: Naming what has it.
    """
    wrong = set(map(type, values)) - types
    if wrong:
        expected = " or ".join(sorted(kind.__name__ for kind in types))
        raise TypeError(f"{what} is a {wrong.pop().__name__}, expected {expected}")


def _indices(what: str, values: Sequence[int], low: int, end: int) -> None:
    check_types(what, values, _COUNT)
    if values and not (low <= min(values) and max(values) < end):
        raise ValueError(f"{what} points at {min(values) if min(values) < low else max(values)}, beyond what is there")
