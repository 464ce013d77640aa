from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograms.models.limits import Limiter, Limits

NO_HEADERS: dict[str, str] = {}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def filled(limiter: Limiter, count: int) -> None:
    for _ in range(count):
        assert limiter.enter()


def test_no_more_than_the_concurrency_enter() -> None:
    limiter = Limiter(Limits(concurrency=2))
    assert [limiter.enter() for _ in range(3)] == [True, True, False]
    limiter.leave()
    assert limiter.enter()


def test_a_refusal_halves_once_for_those_under_way_together() -> None:
    clock = Clock()
    limiter = Limiter(Limits(concurrency=64), clock=clock)
    filled(limiter, 64)
    clock.now += 1
    for _ in range(30):
        limiter.leave()
        limiter.refused(100.0)
    assert limiter.allowed == 32


def test_a_later_refusal_halves_again() -> None:
    clock = Clock()
    limiter = Limiter(Limits(concurrency=64), clock=clock)
    filled(limiter, 64)
    limiter.leave()
    limiter.refused(clock.now)
    clock.now += 2
    limiter.refused(clock.now)
    assert limiter.allowed == 16


def test_successes_grow_it_back_to_the_ceiling_and_no_further() -> None:
    limiter = Limiter(Limits(concurrency=64))
    filled(limiter, 64)
    limiter.leave()
    limiter.refused(limiter.clock())
    before = limiter.allowed
    limiter.succeeded(NO_HEADERS)
    assert limiter.allowed > before
    for _ in range(5000):
        limiter.succeeded(NO_HEADERS)
    assert limiter.allowed == 64


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 300))
def test_allowed_stays_between_one_and_the_ceiling(outcomes: list[bool], ceiling: int) -> None:
    clock = Clock()
    limiter = Limiter(Limits(concurrency=ceiling), clock=clock)
    for answered in outcomes:
        clock.now += 2
        if answered:
            limiter.succeeded(NO_HEADERS)
        else:
            limiter.refused(clock.now)
        assert 1 <= limiter.allowed <= ceiling


def test_waiters_enter_in_order() -> None:
    async def main() -> list[int]:
        limiter = Limiter(Limits(concurrency=1))
        assert limiter.enter()
        order: list[int] = []

        async def one(number: int) -> None:
            await limiter.wait()
            order.append(number)
            await asyncio.sleep(0)
            limiter.leave()

        tasks = [asyncio.create_task(one(number)) for number in range(5)]
        await asyncio.sleep(0)
        limiter.leave()
        await asyncio.gather(*tasks)
        assert limiter.in_flight == 0
        return order

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("granted_first", [False, True])
def test_a_cancelled_wait_leaves_nothing(granted_first: bool) -> None:
    async def main() -> None:
        limiter = Limiter(Limits(concurrency=1))
        assert limiter.enter()
        task = asyncio.create_task(limiter.wait())
        await asyncio.sleep(0)
        if granted_first:
            limiter.leave()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not granted_first:
            limiter.leave()
        assert limiter.in_flight == 0
        assert limiter.enter()

    asyncio.run(main())


def test_requests_per_minute_are_kept() -> None:
    async def main() -> float:
        limiter = Limiter(Limits(requests_per_minute=6000))
        start = time.monotonic()

        async def one() -> None:
            if not limiter.enter():
                await limiter.wait()
            limiter.leave()

        await asyncio.gather(*[one() for _ in range(130)])
        return time.monotonic() - start

    # 100 a second are granted after a burst of one second's worth.
    assert 0.25 <= asyncio.run(main()) < 10


def test_tokens_per_minute_hold_back_after_an_overdraft() -> None:
    clock = Clock()
    limiter = Limiter(Limits(tokens_per_minute=600), clock=clock)
    assert limiter.enter(tokens=30)
    assert not limiter.enter(tokens=1)
    clock.now += 1.9
    assert not limiter.enter(tokens=1)
    clock.now += 0.3
    assert limiter.enter(tokens=1)


def test_tokens_are_corrected_by_the_usage() -> None:
    clock = Clock()
    limiter = Limiter(Limits(tokens_per_minute=600), clock=clock)
    assert limiter.enter(tokens=5)
    limiter.succeeded(NO_HEADERS, over_estimate=100)
    clock.now += 5
    assert not limiter.enter(tokens=1)


def test_an_exhausted_quota_holds_until_its_reset() -> None:
    clock = Clock()
    limiter = Limiter(Limits(), clock=clock)
    filled(limiter, 2)
    limiter.leave()
    limiter.succeeded({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "3s"})
    assert not limiter.enter(), "the one that remains is used by the other request under way"
    clock.now += 2.9
    assert not limiter.enter()
    clock.now += 0.2
    assert limiter.enter()


def test_a_quota_with_room_holds_nobody() -> None:
    limiter = Limiter(Limits())
    filled(limiter, 2)
    limiter.leave()
    limiter.succeeded({"x-ratelimit-remaining-requests": "500", "x-ratelimit-reset-requests": "60s"})
    assert limiter.enter()


def test_waiters_are_woken_when_the_hold_ends() -> None:
    async def main() -> float:
        limiter = Limiter(Limits())
        assert limiter.enter()
        limiter.leave()
        limiter.succeeded({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "100ms"})
        start = time.monotonic()
        assert not limiter.enter()
        await limiter.wait()
        return time.monotonic() - start

    assert 0.05 <= asyncio.run(main()) < 10


def test_two_event_loops_share_one_gate() -> None:
    limiter = Limiter(Limits(concurrency=3))
    peak: list[int] = []

    async def main() -> None:
        async def one() -> None:
            if not limiter.enter():
                await limiter.wait()
            peak.append(limiter.in_flight)
            await asyncio.sleep(0.001)
            limiter.leave()

        await asyncio.gather(*[one() for _ in range(50)])

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(peak) == 100
    assert max(peak) == 3
    assert limiter.in_flight == 0
