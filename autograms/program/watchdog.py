"""Ends programs: those that run on without a reply or a call, and those that must not go on after an error.

A program that runs on is ended by an exception from a second thread.

One thread watches the one program that each driving thread runs at a time. Entering and leaving a program costs a
lock; the thread sleeps while no program runs.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from autograms.errors import RunawayError

__all__ = ["Halt", "go_on", "guarded"]


class Halt(BaseException):
    """Ends a program. Not an ``Exception``, so that the program's own handlers do not swallow it.

    Args:
        error: What the driver raises instead; that the program ran on for too long where unset.
    """

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(error)
        self.error = error


class _Watch:
    __slots__ = ("__weakref__", "deadline", "fired", "lock", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.deadline: float | None = None
        self.fired = False
        self.lock = threading.Lock()


_local = threading.local()
_watches: weakref.WeakSet[_Watch] = weakref.WeakSet()
_wake = threading.Event()
_started = threading.Lock()
_thread: threading.Thread | None = None


def guarded(switch: Callable[..., Any], seconds: float, *args: Any) -> Any:
    """Run ``switch(*args)``, which enters a program, for at most ``seconds`` (0 for ever).

    Raises:
        RunawayError: Where the program neither replied nor called in time.
        Exception: The error of a :class:`Halt` that ended the program.
    """
    watch = getattr(_local, "watch", None) or _new_watch()
    outer, watch.fired = watch.deadline, False
    watch.deadline = time.monotonic() + seconds if seconds else None
    if seconds and not _wake.is_set():
        _wake.set()
    try:
        result = switch(*args)
        with watch.lock:
            watch.deadline, fired = outer, watch.fired
    except BaseException as error:
        if _stop_clock(watch, outer) or isinstance(error, Halt):
            said = error.error if isinstance(error, Halt) else None
            raise (said or _runaway(seconds)).with_traceback(error.__traceback__) from None
        raise
    if fired:
        _stop_clock(watch, outer)
        raise _runaway(seconds)
    return result


def go_on(seconds: float) -> None:
    """Give the running program ``seconds`` again: it has come to the end of a turn that it is led through."""
    if seconds:
        _local.watch.deadline = time.monotonic() + seconds


def _runaway(seconds: float) -> RunawayError:
    return RunawayError(
        f"the program ran for {seconds:g} s with neither a reply nor a model call; look for an endless loop, move "
        "long work into step(), or raise watchdog_seconds in the configuration"
    )


def _stop_clock(watch: _Watch, outer: float | None) -> bool:
    """Give the deadline back; tell whether the program was struck. A strike on its way lands here, nowhere else."""
    struck = False
    while True:
        try:
            with watch.lock:
                watch.deadline = outer
                struck, watch.fired = struck or watch.fired, False
            for _ in range(20 if struck else 0):
                time.sleep(0.0001)
        except Halt:
            struck = True
        else:
            return struck


def _new_watch() -> _Watch:
    global _thread
    watch = _local.watch = _Watch()
    with _started:
        _watches.add(watch)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_patrol, name="autograms-watchdog", daemon=True)
            _thread.start()
    return watch


def _patrol() -> None:
    idle, pause = 0, 0.05
    while True:
        time.sleep(pause)
        now = time.monotonic()
        watches = _all_watches()
        struck = [_strike(watch, now) for watch in watches]
        pause = 0.001 if any(struck) else 0.05  # a program that catches everything escapes most strikes
        idle = 0 if _running(watches) else idle + 1
        del watches  # they end with their threads
        if idle > 20:
            _wake.clear()
            if not _running(_all_watches()):  # one that began before the clearing saw no need to wake us
                _wake.wait()
            idle = 0


def _all_watches() -> list[_Watch]:
    with _started:
        return list(_watches)


def _running(watches: list[_Watch]) -> bool:
    return any(watch.deadline is not None for watch in watches)


def _strike(watch: _Watch, now: float) -> bool:
    """Raise in the watched thread if its program is overdue, as often as the program catches it and runs on."""
    if watch.deadline is None or now <= watch.deadline:
        return False
    with watch.lock:
        if watch.deadline is None or now <= watch.deadline:
            return False
        watch.fired = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watch.thread), ctypes.py_object(Halt))
    return True


def _anew() -> None:
    """Begin again in a forked process, in which the patrol does not run."""
    global _local, _watches, _wake, _started, _thread
    _local, _watches, _wake = threading.local(), weakref.WeakSet(), threading.Event()
    _started, _thread = threading.Lock(), None


os.register_at_fork(after_in_child=_anew)
