"""Ends programs that run on without a reply or a call, by an exception from a second thread.

One thread watches the one program that each driving thread runs at a time. Entering and leaving a program costs a
lock; the thread sleeps while no program runs.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

from autograms.errors import RunawayError

__all__ = ["guarded"]


class _Overrun(BaseException):
    """Raised inside a program that ran on for too long."""


class _Watch:
    __slots__ = ("deadline", "fired", "lock", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.deadline: float | None = None
        self.fired = False
        self.lock = threading.Lock()


_local = threading.local()
_watches: list[_Watch] = []
_wake = threading.Event()
_started = threading.Lock()
_thread: threading.Thread | None = None


def guarded(switch: Callable[..., Any], seconds: float, *args: Any) -> Any:
    """Run ``switch(*args)``, which enters a program, for at most ``seconds`` (0 for ever).

    Raises:
        RunawayError: Where the program neither replied nor called in time.
    """
    if not seconds:
        return switch(*args)
    watch = getattr(_local, "watch", None) or _new_watch()
    outer, watch.fired = watch.deadline, False
    watch.deadline = time.monotonic() + seconds
    if not _wake.is_set():
        _wake.set()
    try:
        try:
            result = switch(*args)
        finally:
            with watch.lock:
                watch.deadline = outer
                fired, watch.fired = watch.fired, False
            if fired:
                _absorb()
    except _Overrun as overrun:
        raise _runaway(seconds).with_traceback(overrun.__traceback__) from None
    if fired:
        raise _runaway(seconds)
    return result


def _runaway(seconds: float) -> RunawayError:
    return RunawayError(
        f"the program ran for {seconds:g} s with neither a reply nor a model call; look for an endless loop, move "
        "long work into step(), or raise watchdog_seconds in the configuration"
    )


def _absorb() -> None:
    """Wait for an exception that is on its way to this thread already, so that it strikes here and nowhere else."""
    try:
        for _ in range(1000):
            time.sleep(0.0001)
    except _Overrun:
        pass


def _new_watch() -> _Watch:
    global _thread
    watch = _local.watch = _Watch()
    with _started:
        _watches.append(watch)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_patrol, name="autograms-watchdog", daemon=True)
            _thread.start()
    return watch


def _patrol() -> None:
    idle = 0
    while True:
        time.sleep(0.05)
        now = time.monotonic()
        running = False
        for watch in list(_watches):
            deadline = watch.deadline
            running = running or deadline is not None
            if deadline is not None and now > deadline:
                _strike(watch, now)
        idle = 0 if running else idle + 1
        if idle > 20:
            _wake.clear()
            _wake.wait()
            idle = 0


def _strike(watch: _Watch, now: float) -> None:
    with watch.lock:
        if watch.deadline is None or now <= watch.deadline or watch.fired:
            return
        watch.fired = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watch.thread), ctypes.py_object(_Overrun))
