"""``init_user_globals()``: variables of a module of which each conversation has its own copy."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

from autograms.errors import ProgramError
from autograms.program.context import current_or_none

__all__ = ["UserGlobals", "init_user_globals"]

_MARK = "__autograms_user_globals__"


class UserGlobals(MutableMapping[str, Any]):
    """A mapping that holds the module's values outside conversations, and the conversation's copy inside one."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._base: dict[str, Any] = {}

    def _values(self) -> dict[str, Any]:
        context = current_or_none()
        if context is None:
            return self._base
        values = context.globals.get(self._key)
        if values is None:
            values = context.globals[self._key] = copy.deepcopy(self._base)
        return values

    def __getitem__(self, key: str) -> Any:
        return self._values()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return f"UserGlobals({self._values()!r})"


def init_user_globals() -> UserGlobals:
    """Return the mapping of the calling module's user globals; call it once a module, at its top.

    Raises:
        ProgramError: Where the module has called it before.
    """
    module = sys._getframe(1).f_globals
    where = module.get("__file__") or module.get("__name__", "?")
    if _MARK in module:
        raise ProgramError(f"{where}: init_user_globals() was called before; call it once, at the top of the module")
    module[_MARK] = made = UserGlobals(str(where))
    return made
