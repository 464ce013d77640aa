"""A program's view of its memory: ``init_user_globals`` and ``get_memory``."""

from __future__ import annotations

from autograms.conversation.record import Memory
from autograms.program.context import current
from autograms.program.user_globals import UserGlobals, init_user_globals

__all__ = ["Memory", "MemoryObject", "UserGlobals", "get_memory", "init_user_globals"]

MemoryObject = Memory
"""AutoGRAMS' name of the memory."""


def get_memory() -> Memory:
    """Return the memory of the running conversation.

    Raises:
        ProgramError: Outside a running program.
    """
    return current().memory
