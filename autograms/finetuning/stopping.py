"""How a worker, and whoever waits for one, learn that they are to stop.

What does not belong here: what they do then.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

__all__ = ["SAME_WISH", "StopRequest", "terminations_interrupt"]

SAME_WISH = 1.0
"""Seconds within which a second signal says no more than the first: shells and supervisors send some twice."""


@dataclass(slots=True)
class StopRequest:
    """Whether the worker has been asked to stop, and by which signal.

    Attributes:
        signal: The signal's number, ``None`` while nobody asked.
        parent: The process that started the worker.
    """

    signal: int | None = None
    parent: int = 0

    @property
    def made(self) -> bool:
        """Whether to stop: a signal came, or the process that started this one is gone."""
        if self.signal is None and self.parent and os.getppid() != self.parent:
            self.signal = signal.SIGTERM
        return self.signal is not None

    def listen(self) -> None:
        """Take SIGINT and SIGTERM from now on; a second one ends the process at once.

        Dagster hands an interrupt on to the worker. Where Ctrl-C in a terminal reached both, the worker would have two
        of them, and end amid its checkpoint: so it leaves the terminal's group.
        """
        self.parent = os.getppid()
        if "DAGSTER_PIPES_CONTEXT" in os.environ:
            with suppress(PermissionError):  # a launcher has given it a group of its own
                os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def terminations_interrupt() -> Iterator[StopRequest]:
    """Let SIGTERM interrupt the caller as Ctrl-C does, so that what it started is stopped with it.

    Yields:
        What came: its ``signal`` is SIGTERM where that interrupted the block.
    """
    stop, at = StopRequest(), 0.0
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield stop
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal at
        if stop.signal is not None and time.monotonic() - at < SAME_WISH:
            return
        stop.signal, at = number, time.monotonic()
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)  # an event loop has its own way to end at one

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
