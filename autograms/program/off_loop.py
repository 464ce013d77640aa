"""Threads in which steps run, so that a step that blocks holds up neither the event loop nor other steps.

The loop's own executor has a few threads only, which it shares with the look-up of names, and a process waits for them
before it ends. These are as many as there are steps at once, and nobody waits for them: Ctrl-C ends a simulation whose
steps hang. What does not belong here: what a step is, and its record (``autograms.primitives.control``).
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from autograms.errors import ProgramError

__all__ = ["off_loop"]

_MOST = 1024
_Work = tuple["Future[Any]", Callable[[], Any]]


async def off_loop(function: Callable[[], Any]) -> Any:
    """Run a function in a thread, in this task's context variables, and return its result."""
    return await asyncio.wrap_future(_threads.submit(contextvars.copy_context().run, function))


class _Threads:
    """Daemon threads, made when none is idle."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._count = 0

    def submit(self, run: Callable[[Callable[[], Any]], Any], function: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._work.put((future, lambda: run(function)))
        if not self._idle.acquire(blocking=False):
            with self._lock:
                if self._count < _MOST:
                    self._count += 1
                    threading.Thread(target=self._serve, name=f"step-{self._count}", daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get_nowait()
            except queue.Empty:
                self._idle.release()
                work = self._work.get()
            _do(*work)
            del work


def _do(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except StopIteration:  # no future may hold it
        future.set_exception(RuntimeError("a StopIteration left the step: next() was called on an iterator at its end"))
    except SystemExit:  # an event loop would end with it
        future.set_exception(ProgramError("the step called exit(); it ends by returning"))
    except BaseException as error:
        future.set_exception(error)


_threads = _Threads()


def _anew() -> None:
    global _threads
    _threads = _Threads()


os.register_at_fork(after_in_child=_anew)
