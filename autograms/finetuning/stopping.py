"""How a worker learns that it is to stop. What does not belong here: what it does then."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from types import FrameType

__all__ = ["StopRequest"]


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
        """Take SIGINT and SIGTERM from now on; a second one ends the process at once."""
        self.parent = os.getppid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
