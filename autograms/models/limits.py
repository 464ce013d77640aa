"""How many requests may run at once, and how fast they may follow each other, for one model at one endpoint.

The number at once is halved when the endpoint answers 429 and grows back with every success; requests and tokens
per minute are kept where they are set; the endpoint's own rate-limit headers hold requests back until its window
opens again. What does not belong here: sending, and what to do about an error (``retries``).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autograms.models.retries import reset_seconds

__all__ = ["Limiter", "Limits"]

_FASTEST_ROUNDS = 32
"""Rounds of successes in which the number at once grows from nothing to its ceiling, when it grows fastest."""
_CUT_SECONDS = 1.0
"""The number at once is not halved again before, unless a third or more of what came back since was refused."""
_LONGEST_HOLD = 120.0
"""Seconds: a reset header that asks for more is not believed for longer than this at a time."""
_BURST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model's endpoint may be asked.

    Attributes:
        concurrency: Most requests at once.
        requests_per_minute: Most requests in a minute, or ``None``.
        tokens_per_minute: Most tokens in a minute, estimated before a request and corrected after it, or ``None``.
    """

    concurrency: int = 256
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def part(self, parts: int) -> Limits:
        """Return one of so many equal parts, for as many processes that ask together."""
        requests, tokens = self.requests_per_minute, self.tokens_per_minute
        return Limits(max(1, self.concurrency // parts), requests and requests / parts, tokens and tokens / parts)


class _Bucket:
    """So much a minute. A request may overdraw it once; the next one waits until the debt is paid."""

    __slots__ = ("_level", "_rate", "_size", "_then")

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._size = max(1.0, self._rate * _BURST_SECONDS)
        self._level = self._size
        self._then = now

    def seconds_until_open(self, now: float) -> float:
        self._level = min(self._size, self._level + (now - self._then) * self._rate)
        self._then = now
        return 0.0 if self._level >= 1.0 else (1.0 - self._level) / self._rate

    def take(self, amount: float) -> None:
        self._level -= amount


class _Waiter:
    __slots__ = ("future", "granted", "tokens")

    def __init__(self, future: asyncio.Future[None], tokens: int) -> None:
        self.future = future
        self.tokens = tokens
        self.granted = False


class Limiter:
    """The gate in front of one model; requests from any number of threads and event loops pass through it in order.

    ``enter`` and ``leave`` stand around each request::

        if not limiter.enter(tokens):
            await limiter.wait(tokens)
        try:
            ...
        finally:
            limiter.leave()

    Args:
        limits: What the endpoint may be asked.
        clock: Seconds that only go forward.

    Attributes:
        allowed: How many requests may run at once now.
        in_flight: How many run.
        successes: How many were answered so far.
    """

    def __init__(self, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        limits = limits or Limits()
        self.clock = clock
        self.ceiling = float(limits.concurrency)
        self.allowed = self.ceiling
        self.in_flight = 0
        self.successes = 0
        self._step = self._largest_step = max(1.0, self.ceiling / _FASTEST_ROUNDS)
        self._waiters: deque[_Waiter] = deque()
        self._lock = threading.Lock()
        self._timer: tuple[asyncio.AbstractEventLoop, float] | None = None
        self._held_until = 0.0
        self._last_cut = float("-inf")
        self._successes_at_cut = 0
        self._refused_since_cut = 0
        self._most_in_flight = 0
        now = clock()
        self._requests = _Bucket(limits.requests_per_minute, now) if limits.requests_per_minute else None
        self._tokens = _Bucket(limits.tokens_per_minute, now) if limits.tokens_per_minute else None
        self._timed = self._requests is not None or self._tokens is not None

    @property
    def counts_tokens(self) -> bool:
        """Whether ``enter`` wants an estimate of the tokens."""
        return self._tokens is not None

    def enter(self, tokens: int = 0) -> bool:
        """Take a place if one is free now; where it returns ``False``, ``await wait(tokens)`` takes one."""
        with self._lock:
            if self._waiters or self.in_flight + 1 > self.allowed:
                return False
            if (self._held_until or self._timed) and self._seconds_closed() > 0:
                return False
            self._take(tokens)
            return True

    async def wait(self, tokens: int = 0) -> None:
        """Wait in line for a place, and take it. A cancelled wait leaves nothing behind."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), tokens)
        with self._lock:
            self._waiters.append(waiter)
            self._pump()
        try:
            await waiter.future
        except BaseException:
            with self._lock:
                if waiter.granted:
                    self.in_flight -= 1
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                self._pump()
            raise

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self.in_flight -= 1
            if self._waiters:
                self._pump()

    def succeeded(self, headers: Mapping[str, str], *, over_estimate: int = 0) -> None:
        """Learn from an answer: grow back, correct the tokens, obey the rate-limit headers.

        Called after ``leave``.

        Args:
            headers: The answer's headers; a case-insensitive mapping.
            over_estimate: Tokens that were used beyond the estimate given to ``enter``.
        """
        self.successes += 1
        if self.allowed < self.ceiling:
            with self._lock:
                self.allowed = min(self.ceiling, self.allowed + self._step / self.allowed)
                self._step = min(self._largest_step, self._step + self._step / self.allowed)
                self._pump()
        if self._tokens is not None and over_estimate:
            with self._lock:
                self._tokens.take(over_estimate)
        if "x-ratelimit-remaining-requests" in headers or "x-ratelimit-remaining-tokens" in headers:
            self._observe(headers)

    def refused(self, sent: float) -> None:
        """Learn from a 429: halve the number at once, once for all the requests that were under way together.

        Called after ``leave``.

        Args:
            sent: The clock's time when the refused request was sent.
        """
        with self._lock:
            if sent < self._last_cut:
                return
            self._refused_since_cut += 1
            answered = self.successes - self._successes_at_cut
            now = self.clock()
            if now - self._last_cut < _CUT_SECONDS and self._refused_since_cut <= max(4, answered / 2):
                return
            self.allowed = max(1.0, min(self.allowed, self._most_in_flight) / 2)
            self._most_in_flight = self.in_flight
            self._step = 1.0
            self._last_cut, self._successes_at_cut, self._refused_since_cut = now, self.successes, 0

    def _observe(self, headers: Mapping[str, str]) -> None:
        for what in ("requests", "tokens"):
            text = headers.get(f"x-ratelimit-remaining-{what}")
            reset = reset_seconds(headers.get(f"x-ratelimit-reset-{what}"))
            if text is None or reset is None or not text.isdigit():
                continue
            # Those under way are not in the endpoint's count yet, and will use up what remains.
            remaining = int(text) - (self.in_flight if what == "requests" else 0)
            if remaining <= 0:
                with self._lock:
                    self._held_until = max(self._held_until, self.clock() + min(reset, _LONGEST_HOLD))

    def _seconds_closed(self) -> float:
        now = self.clock()
        seconds = 0.0
        if self._held_until:
            seconds = self._held_until - now
            if seconds <= 0:
                self._held_until = 0.0
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                seconds = max(seconds, bucket.seconds_until_open(now))
        return seconds

    def _take(self, tokens: int) -> None:
        self.in_flight += 1
        if self.in_flight > self._most_in_flight:
            self._most_in_flight = self.in_flight
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def _pump(self) -> None:
        """Hand free places to those who wait; the lock is held."""
        waiters = self._waiters
        while waiters and self.in_flight + 1 <= max(1.0, self.allowed):
            seconds = self._seconds_closed() if self._held_until or self._timed else 0.0
            if seconds > 0:
                self._call_later(seconds, waiters[0].future.get_loop())
                return
            waiter = waiters.popleft()
            if waiter.future.done() or waiter.future.get_loop().is_closed():
                continue
            waiter.granted = True
            self._take(waiter.tokens)
            _in_loop(waiter.future.get_loop(), _wake, waiter.future)

    def _call_later(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        due = self.clock() + seconds
        if self._timer is not None and not self._timer[0].is_closed() and self._timer[1] <= due:
            return
        self._timer = (loop, due)
        _in_loop(loop, loop.call_later, seconds, self._on_timer)

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
            self._pump()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    if asyncio._get_running_loop() is loop:
        function(*args)
    else:
        loop.call_soon_threadsafe(function, *args)
