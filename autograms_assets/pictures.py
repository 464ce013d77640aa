"""Pictures inside of metadata, as Markdown.

Dagster's UI shows Markdown in place where it is shorter than 1,000 characters, and behind *Show Markdown* otherwise. A
small SVG fits; a PNG does not. What does not belong here: drawing the large ones (``autograms.evaluation.plots``).
"""

import base64
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

__all__ = ["LONGEST_IN_PLACE", "counted", "inline_png", "inline_svg", "small_bars", "small_curve"]

LONGEST_IN_PLACE = 999
"""Characters of Markdown that Dagster's UI shows without being asked."""

_WIDTH, _HEIGHT = 300, 60
_MOST_POINTS, _MOST_BARS = 60, 24
_BLUE = "#2b6cb0"

Point = tuple[float, float]


def inline_png(path: Path, title: str) -> dict[str, str]:
    """Return a picture as a summary's Markdown value, shown when it is asked for.

    Args:
        path: The PNG file.
        title: What is read out where the picture cannot be seen.
    """
    return {"md": f"![{title}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"}


def inline_svg(svg: str, title: str) -> dict[str, str]:
    """Return a picture as a summary's Markdown value, shown when it is asked for.

    Args:
        svg: The picture.
        title: What is read out where the picture cannot be seen.
    """
    return {"md": f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"}


def small_curve(points: Sequence[Point], title: str) -> dict[str, str] | None:
    """Return a curve as a summary's Markdown value, small enough to be shown in place.

    Args:
        points: ``(x, y)``, by rising ``x``; those that are not finite are left out.
        title: What the curve shows; the first and the last value stand beside it.

    Returns:
        The value; ``None`` where there are less than two points.
    """
    finite = [point for point in points if all(map(math.isfinite, point))]
    if len(finite) < 2:
        return None
    words = f"{title}: {finite[0][1]:.4g} to {finite[-1][1]:.4g}"
    for most in range(_MOST_POINTS, 1, -4):
        shown = _markdown(_curve_path(_thinned(finite, most)), "1.5", words)
        if len(shown) <= LONGEST_IN_PLACE:
            return {"md": shown}
    return None


def small_bars(bars: Sequence[tuple[float, int]], title: str) -> dict[str, str] | None:
    """Return a histogram as a summary's Markdown value, small enough to be shown in place.

    Args:
        bars: Where each bar begins and how many it counts, by rising begin; neighbours are joined where they are many.
        title: What is counted; the first and the last begin stand beside it.

    Returns:
        The value, words alone where all is in one bar; ``None`` where nothing is counted.
    """
    if not any(count for _, count in bars):
        return None
    if len(bars) == 1:
        return {"md": f"{title}: all {bars[0][1]} at {bars[0][0]:.4g}"}
    joined = _joined(bars)
    highest = max(count for _, count in joined)
    width = _WIDTH // max(len(joined), 4)
    path = "".join(
        f"M{round((index + 0.5) * width)} {_HEIGHT}v{-max(1, round(count / highest * (_HEIGHT - 2)))}"
        for index, (_, count) in enumerate(joined)
        if count
    )
    words = f"{title}: from {bars[0][0]:.4g} to {bars[-1][0]:.4g}, the highest bar is {highest}"
    return {"md": _markdown(path, str(max(1, width - 1)), words)}


def counted(values: Sequence[float]) -> list[tuple[float, int]]:
    """Return how many values lie in each of equally wide ranges, or are each distinct one where those are few."""
    times = Counter(values)
    distinct = sorted(times)
    if len(distinct) <= _MOST_BARS:
        return [(value, times[value]) for value in distinct]
    width = (distinct[-1] - distinct[0]) / _MOST_BARS
    counts = [0] * _MOST_BARS
    for value in values:
        counts[min(_MOST_BARS - 1, int((value - distinct[0]) / width))] += 1
    return [(distinct[0] + index * width, count) for index, count in enumerate(counts)]


def _joined(bars: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    size = -(-len(bars) // _MOST_BARS)
    return [
        (bars[first][0], sum(count for _, count in bars[first : first + size])) for first in range(0, len(bars), size)
    ]


def _thinned(points: Sequence[Point], most: int) -> list[Point]:
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(index * step)] for index in range(most)]


def _curve_path(points: Sequence[Point]) -> str:
    lows, highs = [min(values) for values in zip(*points, strict=True)], [max(v) for v in zip(*points, strict=True)]
    spans = [high - low or 1.0 for low, high in zip(lows, highs, strict=True)]
    places = [
        (round((x - lows[0]) / spans[0] * _WIDTH), 1 + round((highs[1] - y) / spans[1] * (_HEIGHT - 2)))
        for x, y in points
    ]
    steps = "".join(
        f"l{x - before_x}{_signed(y - before_y)}" for (before_x, before_y), (x, y) in itertools.pairwise(places)
    )
    return f"M{places[0][0]} {places[0][1]}{steps}"


def _signed(number: int) -> str:
    return str(number) if number < 0 else f" {number}"


def _markdown(path: str, stroke: str, words: str) -> str:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<path d="{path}" fill="none" stroke="{_BLUE}" stroke-width="{stroke}"/></svg>'
    )
    return f"![{words}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})\n\n{words}"
