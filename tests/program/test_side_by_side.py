"""Coroutines side by side: their results, their failures, and the count that never falls in between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from autograms.program.side_by_side import side_by_side


class Ended(BaseException):
    """More than an error."""


async def after(hops: int, result: Any) -> Any:
    for _ in range(hops):
        await asyncio.sleep(0)
    if isinstance(result, BaseException):
        raise result
    return result


class Count:
    """How many run; remembers the least."""

    def __init__(self) -> None:
        self.now = self.least = self.most = 1

    def __call__(self, more: int) -> None:
        self.now += more
        self.least, self.most = min(self.least, self.now), max(self.most, self.now)


def test_results_stand_in_the_order_of_the_work() -> None:
    assert asyncio.run(side_by_side([after(3, "a"), after(0, "b"), after(1, "c")])) == ["a", "b", "c"]
    assert asyncio.run(side_by_side([])) == []


@pytest.mark.parametrize("hops", [(0,), (0, 0, 0), (5, 0, 2), (1, 7, 3)])
def test_the_count_comes_back_and_never_falls_in_between(hops: tuple[int, ...]) -> None:
    count = Count()
    asyncio.run(side_by_side([after(each, None) for each in hops], count))
    assert (count.now, count.least, count.most) == (1, 1, len(hops))


@pytest.mark.parametrize("hops", [(0, 0, 0), (5, 0, 2), (1, 7, 3)])
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_one_that_fails_ends_the_others_and_the_count_comes_back(hops: tuple[int, ...], failing: int) -> None:
    count = Count()
    work = [after(each, ValueError("no") if number == failing else None) for number, each in enumerate(hops)]
    with pytest.raises(ValueError, match="no"):
        asyncio.run(side_by_side(work, count))
    assert (count.now, count.least) == (1, 1)


def test_work_that_cannot_begin_ends_what_began() -> None:
    count = Count()

    def work() -> Iterator[Coroutine[Any, Any, None]]:
        yield after(3, None)
        yield after(3, None)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        asyncio.run(side_by_side(work(), count))
    assert (count.now, count.least) == (1, 1)


def test_what_ends_more_than_the_work_goes_first() -> None:
    with pytest.raises(Ended):
        asyncio.run(side_by_side([after(0, ValueError()), after(0, Ended())]))
