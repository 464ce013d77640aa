from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from autograms.models.retries import RetryPolicy, passes, reset_seconds, retry_after


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_errors_that_may_pass(status: int) -> None:
    assert passes(status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422])
def test_errors_that_do_not_pass(status: int) -> None:
    assert not passes(status)


@given(
    tries=st.integers(1, 10_000),
    first=st.floats(0.001, 10),
    longest=st.floats(0.001, 120),
    asked=st.none() | st.floats(0, 3600),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_waits_stay_within_bounds(tries: int, first: float, longest: float, asked: float | None, draw: float) -> None:
    wait = RetryPolicy(first_wait=first, longest_wait=longest).wait(tries, asked, draw)
    if asked is None:
        assert 0 <= wait <= longest
        assert wait <= first * 2.0 ** min(tries - 1, 64)
    else:
        assert asked <= wait <= asked + first


def test_longest_wait_doubles() -> None:
    policy = RetryPolicy(first_wait=0.5, longest_wait=3.0)
    assert [policy.wait(tries, draw=1.0) for tries in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_waits_are_spread() -> None:
    assert len({RetryPolicy().wait(3) for _ in range(20)}) == 20


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("0.25", 0.25), ("soon", None), ("-1", None), ("inf", None)])
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert retry_after(CIMultiDict({"retry-after": text})) == seconds


def test_retry_after_as_a_date() -> None:
    assert retry_after(CIMultiDict({"Retry-After": formatdate(1010, usegmt=True)}), now=1000.0) == 10.0
    assert retry_after(CIMultiDict({"Retry-After": formatdate(990, usegmt=True)}), now=1000.0) == 0.0


def test_retry_after_in_milliseconds_is_more_exact() -> None:
    assert retry_after(CIMultiDict({"Retry-After": "1", "Retry-After-Ms": "150"})) == 0.15


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("12", 12.0), ("later", None), (None, None)],
)
def test_reset_headers(text: str | None, seconds: float | None) -> None:
    assert reset_seconds(text) == seconds
