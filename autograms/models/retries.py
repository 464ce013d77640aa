"""When a failed request is sent again, and how long to wait before: the policy and the headers that it obeys.

What does not belong here: how many requests may run at once (``limits``), and how a request is sent.
"""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RetryPolicy", "passes", "reset_seconds", "retry_after"]

_PASSING = frozenset((408, 409, 429))
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def passes(status: int | None) -> bool:
    """Return whether an error with this HTTP status may pass by itself: 408, 409, 429, 5xx, and ``None``, no answer."""
    return status is None or status in _PASSING or status >= 500


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after what waits a request is sent again.

    Attributes:
        max_tries: How often it is sent in all.
        first_wait: Longest wait before the second try, in seconds; it doubles with each further try.
        longest_wait: Where the doubling ends, in seconds. A ``Retry-After`` may be longer.
        try_seconds: How long one try may take.
        deadline_seconds: How long all tries and the waits between them may take.
    """

    max_tries: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30.0
    try_seconds: float = 300.0
    deadline_seconds: float = 600.0

    def wait(self, tries: int, asked: float | None = None, draw: float | None = None) -> float:
        """Return the seconds to wait after ``tries`` failed tries.

        Full jitter: anything between nothing and the longest wait of this try, so that callers that failed together
        do not come back together. Where the endpoint asked for a wait, it is kept, and the jitter comes on top.

        Args:
            tries: How often the request was sent, from 1.
            asked: The endpoint's ``Retry-After``, in seconds.
            draw: A number in [0, 1) instead of a random one.
        """
        drawn = random.random() if draw is None else draw
        # 2.0 ** 1024 overflows, and the cap is reached long before.
        jitter = drawn * min(self.longest_wait, self.first_wait * 2.0 ** min(tries - 1, 64))
        return jitter if asked is None else asked + min(jitter, self.first_wait)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds that ``Retry-After`` (seconds or a date) or ``retry-after-ms`` asks for, if they do.

    Args:
        headers: The answer's headers; a case-insensitive mapping.
        now: The time of the day, seconds since the epoch, instead of the clock's.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("Retry-After")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - (time.time() if now is None else now))


def reset_seconds(text: str | None) -> float | None:
    """Read the duration of an ``x-ratelimit-reset-*`` header: ``6m0s``, ``1.5s``, ``20ms``, or plain seconds."""
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None
