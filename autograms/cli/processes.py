"""Running a process for a command, and stopping it with all that it started when the command is to stop.

What does not belong here: which process, and what it says (``orchestration``, ``run_log``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from autograms.finetuning.stopping import SAME_WISH

__all__ = ["Interrupted", "run_process"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LEFT_BEHIND = 60.0
"""Seconds that what a process left behind has to end."""
_LOOKED_AT_EVERY = 0.05
_LONG = 10.0
"""Seconds after which somebody who waits for the end is told why."""


class Interrupted(Exception):
    """A signal ended a command. Of what it started, only what has a session of its own may still be ending.

    Args:
        number: The signal's number.
        kept: What the message says further.
    """

    def __init__(self, number: int, kept: str = "") -> None:
        super().__init__(number, kept)
        self.number = number
        self.kept = kept

    def __str__(self) -> str:
        return f"interrupted{self.kept}"

    @property
    def status(self) -> int:
        """The exit status that shells know it by."""
        return 128 + self.number


def run_process(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    feed: Callable[[Iterable[str]], None] | None = None,
    kept: str = "",
) -> int:
    """Run a process, and wait for it and for whatever it started.

    It has a group of its own, so that Ctrl-C reaches this process alone, which then asks it once to stop: by SIGTERM,
    which Dagster's commands take as an interrupt. A second Ctrl-C kills the group. A training's worker has a session of
    its own: it sees that it is alone, and ends by itself, with a checkpoint.

    Args:
        command: The program and its arguments.
        environment: Its environment.
        feed: Told its output, line by line, until it is to stop; the output goes where ours goes where unset.
        kept: What the message of an interrupt says further.

    Returns:
        Its exit status.

    Raises:
        Interrupted: Where a signal came and the process did not finish nevertheless.
    """
    stop = _Stop()
    with stop.listening():
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=None if feed is None else subprocess.PIPE,
            stderr=None if feed is None else subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        stop.of(process)
        reading = _Reading(process, feed, stop)
        status = process.wait()
        if stop.number is not None or reading.failed:
            _end_group(process.pid)
        _read_to_the_end(reading, process.pid, stop)
        stop.ended()
    if reading.failed:
        raise reading.failed[0]
    if stop.number is not None and status != 0:
        raise Interrupted(stop.number, kept)
    return status


class _Reading:
    """Feeds what a process says, in a thread of its own: the main one waits for the process and takes the signals."""

    def __init__(
        self, process: subprocess.Popen[str], feed: Callable[[Iterable[str]], None] | None, stop: _Stop
    ) -> None:
        self.failed: list[BaseException] = []
        self._process, self._feed, self._stop = process, feed, stop
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self, seconds: float | None = None) -> bool:
        """Wait until nobody can say anything any more, and return whether that is so."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _read(self) -> None:
        """Feed line after line, until the process is to stop or nobody listens; read the rest without telling."""
        if self._feed is None or self._process.stdout is None:
            return
        with self._process.stdout as lines:
            try:
                self._feed(line for line in lines if self._stop.number is None)
            except BaseException as error:  # the main thread raises it
                self.failed.append(error)
                self._process.terminate()
                lines.read()


def _read_to_the_end(reading: _Reading, group: int, stop: _Stop) -> None:
    """Read what those say whom a process has left behind; a wish to stop that comes now is theirs."""
    asked = stop.number is not None
    while not reading.join(_LOOKED_AT_EVERY):
        if stop.number is not None and not asked:
            asked = True
            _end_group(group)


def _end_group(group: int) -> None:
    """Stop what a process has left behind, and wait until it is gone; what stays is killed."""
    deadline = time.monotonic() + _LEFT_BEHIND
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(_LOOKED_AT_EVERY)
        os.killpg(group, signal.SIGKILL)


class _Stop:
    """Takes the signals, and hands the wish to stop on."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._telling = threading.Timer(_LONG, _tell)
        self._telling.daemon = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the block runs; also ignored ones, since a process would ignore them too, and stay."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in former.items():
            signal.signal(number, _nothing if handler == signal.SIG_IGN else self._take)
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def of(self, process: subprocess.Popen[str]) -> None:
        """Say which process to stop; it may be asked to already."""
        self._process = process
        if self.number is not None:
            self._ask(signal.SIGTERM)

    def ended(self) -> None:
        """The process is gone: nobody waits any more."""
        self._telling.cancel()

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number is None:
            self.number, self._at = number, now
            self._telling.start()
            self._ask(signal.SIGTERM)
        elif number == signal.SIGINT and now - self._at > SAME_WISH:
            self._ask(signal.SIGKILL)

    def _ask(self, number: int) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Take a signal that was ignored before."""


def _tell() -> None:
    print("stopping: what is under way is brought to where it can go on; Ctrl-C again ends it at once", file=sys.stderr)
