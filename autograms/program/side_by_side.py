"""Coroutines side by side, and the count of how many there are.

What does not belong here: what they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["side_by_side"]

_Result = TypeVar("_Result")


async def side_by_side(
    work: Iterable[Coroutine[Any, Any, _Result]], alongside: Callable[[int], None] | None = None
) -> list[_Result]:
    """Run coroutines side by side until each has finished, and return their results; one that fails ends the others.

    Args:
        work: The coroutines.
        alongside: Told of how many more, or fewer, run than the caller alone. The last one to end hands over to the
            caller, so that the count never falls in between.
    """
    more = 0

    def ended(task: asyncio.Task[_Result]) -> None:
        nonlocal more
        if more and alongside is not None:
            more -= 1
            alongside(-1)

    tasks: list[asyncio.Task[_Result]] = []
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                task = group.create_task(each)
                task.add_done_callback(ended)
                if tasks and alongside is not None:
                    more += 1
                    alongside(1)
                tasks.append(task)
    except BaseExceptionGroup as failed:
        # What ends a whole conversation goes before what one of its programs met.
        raise min(failed.exceptions, key=lambda error: isinstance(error, Exception)) from None
    return [task.result() for task in tasks]
