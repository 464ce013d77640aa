"""Figures, and how sure of them we may be.

What belongs here: scores of single answers, and means with bootstrap intervals. What does not: asking models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from autograms.errors import OutputError
from autograms.models.base import Request, read_output

__all__ = ["Estimate", "estimate", "exact_match", "ratio", "rouge_l", "valid_object"]

_RESAMPLES = 2000
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        value: The mean.
        low: Lower end of the 95 % interval.
        high: Upper end.
        count: How many values it is the mean of.
    """

    value: float
    low: float
    high: float
    count: int

    @property
    def interval(self) -> list[float]:
        """The interval as a list, as ``metrics.json`` holds it."""
        return [self.low, self.high]


def estimate(values: Sequence[float], clusters: Sequence[str], *, seed: int) -> Estimate | None:
    """Return the mean of the values with its bootstrap interval, ``None`` for no values.

    Args:
        values: One value a row.
        clusters: Each row's conversation. Whole conversations are drawn, since their rows depend on each other.
        seed: Seed of the draws.
    """
    return ratio(values, [1.0] * len(values), clusters, seed=seed)


def ratio(sums: Sequence[float], weights: Sequence[float], clusters: Sequence[str], *, seed: int) -> Estimate | None:
    """Return the ratio of two sums over the rows, such as a loss a token, with its bootstrap interval.

    Args:
        sums: One numerator a row.
        weights: One denominator a row.
        clusters: Each row's conversation.
        seed: Seed of the draws.
    """
    import numpy as np

    if not sums:
        return None
    _, groups = np.unique(np.asarray(clusters), return_inverse=True)
    tops = np.bincount(groups, weights=np.asarray(sums, dtype=float))
    bottoms = np.bincount(groups, weights=np.asarray(weights, dtype=float))
    draws = np.random.default_rng(seed).integers(0, len(tops), size=(_RESAMPLES, len(tops)))
    means = tops[draws].sum(axis=1) / bottoms[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(float(tops.sum() / bottoms.sum()), float(low), float(high), len(sums))


def exact_match(answer: str, expected: str) -> float:
    """Return 1 where the answer is the expected text, surrounding white space aside; JSON is compared as data."""
    if answer.strip() == expected.strip():
        return 1.0
    left, right = _data(answer), _data(expected)
    return float(left is not None and left == right)


def rouge_l(answer: str, expected: str) -> float:
    """Return ROUGE-L (F measure): how much of the expected text's words the answer has, in order."""
    score = _scorer().score(expected, answer)["rougeL"].fmeasure
    return float(score)


def valid_object(answer: str, schema: str | None) -> float:
    """Return 1 where the answer is a JSON object with all that its schema requires."""
    try:
        value = json.loads(read_output(Request("object", []), answer))
    except OutputError:
        return 0.0
    required = json.loads(schema).get("required", []) if schema else []
    return float(all(name in value for name in required))


def _data(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, (dict, list)) else None


@lru_cache(maxsize=1)
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"])
