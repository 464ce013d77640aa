"""Whether a memory that was read holds together: types, indices, no circle in its history.

A memory may come from anywhere. Everything behind this check can follow its indices without a look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import lt
from typing import TYPE_CHECKING, Any

from autograms.errors import RecordError

if TYPE_CHECKING:
    from autograms.conversation.record import Memory

__all__ = ["check", "check_version"]

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
    "seed": _COUNT,
}
_CALL_TYPES: dict[str, _Types] = {
    **dict.fromkeys(("primitive", "kind", "side"), _TEXT),
    **dict.fromkeys(("output", "schema", "place", "supervisor", "model", "params", "request", "error"), _TEXT_OR_NONE),
    **dict.fromkeys(("score", "cost_usd"), _NUMBER_OR_NONE),
    **dict.fromkeys(("input_tokens", "output_tokens", "milliseconds"), _NUMBER),
    **dict.fromkeys(("supervised", "reused"), frozenset({bool})),
    "parent": frozenset({int, type(None)}),
}
_TURN_TYPES: dict[str, _Types] = {
    "role": _TEXT,
    "after": _COUNT,
    **dict.fromkeys(("content", "address", "data", "kwargs"), _TEXT_OR_NONE),
}


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
        _check(memory)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise RecordError(f"the saved memory is damaged: {type(error).__name__}: {error}") from error
    memory.checked = True


def _check(memory: Memory) -> None:
    check_version(memory.version)
    for name, types in _PLAIN_TYPES.items():
        _typed(name, [getattr(memory, name)], types)
    roles, contents, extras = zip(*memory.messages, strict=True) if memory.messages else ((), (), ())
    _typed("a message", chain(roles, contents), _TEXT)
    _typed("a message's extra", extras, _TEXT_OR_NONE)
    parents, messages = zip(*memory.history, strict=True) if memory.history else ((), ())
    _indices("the history", messages, 0, len(memory.messages))
    _indices("the history", parents, -1, len(memory.history))
    if not all(map(lt, parents, range(len(parents)))):
        raise ValueError("the history: a node stands before the one that it follows")
    for name, types in _CALL_TYPES.items():
        _typed(f"{name} of a call", [getattr(call, name) for call in memory.calls], types)
    for name, types in _TURN_TYPES.items():
        _typed(f"{name} of a turn", [getattr(turn, name) for turn in memory.turns], types)
    _calls(memory)
    _turns(memory)


def _calls(memory: Memory) -> None:
    if not memory.calls:
        return
    systems, firsts, lasts, asks = zip(*[call.prompt for call in memory.calls], strict=True)
    _indices("the prompt of a call", systems, -1, len(memory.messages))
    _indices("the prompt of a call", asks, -1, len(memory.messages))
    _indices("the prompt of a call", firsts, -1, len(memory.history))
    _indices("the prompt of a call", lasts, -1, len(memory.history))
    for number, call in enumerate(memory.calls):
        if call.parent is not None and not 0 <= call.parent < number:
            raise ValueError(f"call {number + 1} has the parent {call.parent}, which does not stand before it")
    for name in ("choices", "rejected", "tags"):
        _typed(f"{name} of a call", chain.from_iterable([getattr(call, name) for call in memory.calls]), _TEXT)


def _turns(memory: Memory) -> None:
    unknown = {turn.role for turn in memory.turns} - _ROLES
    if unknown:
        raise ValueError(f"a turn has the role {sorted(unknown)[0]!r}")
    _indices("a turn's calls", [turn.after for turn in memory.turns], 0, len(memory.calls) + 1)


def _typed(what: str, values: Iterable[Any], types: _Types) -> None:
    wrong = set(map(type, values)) - types
    if wrong:
        expected = " or ".join(sorted(kind.__name__ for kind in types))
        raise TypeError(f"{what} is a {wrong.pop().__name__}, expected {expected}")


def _indices(what: str, values: Sequence[int], low: int, end: int) -> None:
    _typed(what, values, _COUNT)
    if values and not (low <= min(values) and max(values) < end):
        raise ValueError(f"{what} points at {min(values) if min(values) < low else max(values)}, beyond what is there")
