"""Dagster's log of a run, told shortly: a line for what an asset says, one message for what failed.

Reads the lines that ``dagster asset materialize`` writes. What does not belong here: starting it (``orchestration``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TextIO

__all__ = ["RunLog"]

_LINE = re.compile(r"^\S+ \S+ [+-]\d{4} - dagster - (?P<level>[A-Z]+) - \S+ - [0-9a-f-]{36} - (?:\d+ - )?(?P<text>.*)$")
_EVENT = re.compile(r"^(?:(?P<step>[\w.]+) - )?(?P<event>[A-Z][A-Z_]{3,}) - (?P<text>.*)$")
_CLEAR = re.compile(r"^dagster\._core\.(?:definitions\.events\.Failure|errors\.DagsterAssetCheckFailedError): (.*)$")
_REFUSED = re.compile(r"^dagster\._core\.errors\.\w+: (.*)$")
_LAST = 40
_NOISE = ("Dependencies for step ", "Dependency for step ", "[pipes] external process successfully opened")


class RunLog:
    """Tells a run's log shortly.

    Args:
        out: Where the assets' lines go.
        err: Where the failures go.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._block: list[str] | None = None
        self._failed: str | None = None
        self._failures: dict[str, str] = {}
        self._unclear: list[str] = []
        self._stray: list[str] = []

    def feed(self, lines: Iterable[str]) -> None:
        """Tell what the lines say, as they come."""
        for line in lines:
            self._line(line.rstrip("\n"))

    @property
    def failed(self) -> tuple[str, ...]:
        """The assets that failed with a clear message."""
        return tuple(self._failures)

    def close(self, status: int) -> int:
        """Tell what failed, once.

        Args:
            status: Dagster's exit status.

        Returns:
            The exit status of the command: 2 where each failure is a clear message, Dagster's own otherwise.
        """
        self._end_block()
        for step, message in self._failures.items():
            print(f"error: {step}: {message}", file=self._err)
        if not status or (self._failures and not self._unclear):
            return 2 if self._failures else 0
        refused = [found[1] for line in self._stray if (found := _REFUSED.match(line))]
        if refused and not self._unclear:
            print(f"error: Dagster: {refused[-1]}", file=self._err)
            return 2
        print("\n".join(self._unclear or self._stray[-_LAST:]), file=self._err)
        return status

    def _line(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            (self._stray if self._block is None else self._block).append(line)
            return
        self._end_block()
        level, text = found["level"], found["text"]
        event = _EVENT.match(text)
        if event is not None and event["event"] in ("STEP_FAILURE", "RUN_FAILURE"):
            self._failed, self._block = event["step"] or "", [line]
        elif event is None and level != "DEBUG" and not any(part in text for part in _NOISE):
            step, _, words = text.partition(" - ")
            mark = f"{level.lower()}: " if level in ("WARNING", "ERROR", "CRITICAL") else ""
            print(f"{step:<22} {mark}{words}" if words else f"{mark}{text}", file=self._out, flush=True)

    def _end_block(self) -> None:
        """Keep what a failure said: its own message where it is a clear one, all of it otherwise."""
        block, self._block = self._block, None
        if block is None or not self._failed:
            return
        for number, line in enumerate(block):
            if (clear := _CLEAR.match(line)) is not None:
                message = [clear[1]]
                for further in block[number + 1 :]:
                    if further.startswith("Stack Trace:"):
                        break
                    message.append(further)
                self._failures[self._failed] = "\n".join(message).strip()
                return
        self._unclear += block
