"""Greenlets that run one program after another.

Making a greenlet and ending it costs some 40 microseconds, since each has a stack of its own, where a switch costs
one: so a greenlet whose program has ended waits for the next. A program that nobody goes on with is ended by what it
is switched back with, for the same reason: greenlet's own ``throw`` costs 13. What does not belong here: what programs
ask of the world (``driver``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from greenlet import getcurrent

from autograms.program.context import Program
from autograms.program.effects import FINISHED, RELEASED, Released

__all__ = ["begin", "end", "free"]

_MOST_IDLE = 1024


class _Server(Program):
    work: Callable[[], Any] | None


class _Idle(threading.local):
    """Greenlets without a program; each belongs to the thread that made it."""

    def __init__(self) -> None:
        self.servers: list[_Server] = []


_idle = _Idle()


def begin(work: Callable[[], Any]) -> Program:
    """Return a greenlet that runs a program when it is switched to, and hands out ``FINISHED`` at its end.

    An error of the program ends the greenlet too, and is raised where it was switched to.
    """
    server = _idle.servers.pop() if _idle.servers else _Server(_serve)
    server.work = work
    return server


def free(program: Program) -> None:
    """Take back the greenlet of a program that has finished."""
    if isinstance(program, _Server) and program.work is None and len(_idle.servers) < _MOST_IDLE:
        del program.context
        program.gr_context = None
        _idle.servers.append(program)


def end(program: Program) -> None:
    """End a suspended program where it stands; its ``finally`` blocks run now."""
    program.parent = getcurrent()
    if program.switch(RELEASED) is FINISHED:
        free(program)


def _serve() -> Any:
    server: Any = getcurrent()
    while True:
        with suppress(Released):
            server.work()
        server.work = None
        server.parent.switch(FINISHED)
