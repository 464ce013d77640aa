import base64
import math
import random
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from autograms_assets.pictures import LONGEST_IN_PLACE, counted, inline_png, small_bars, small_curve


def drawn(markdown: str) -> tuple[ElementTree.Element, str]:
    """Return the picture's path and the words beside it."""
    found = re.fullmatch(r"!\[(.*?)\]\(data:image/svg\+xml;base64,([^)]*)\)\n\n(.*)", markdown)
    assert found is not None
    assert found[1] == found[3]
    path = ElementTree.fromstring(base64.b64decode(found[2]))[0]
    return path, found[3]


@pytest.mark.parametrize("count", [2, 3, 60, 61, 5000])
def test_a_curve_is_small_enough_to_be_shown_in_place(count: int) -> None:
    made = random.Random(count)
    shown = small_curve([(step, made.random() * 9) for step in range(count)], "loss by step")
    assert shown is not None
    assert len(shown["md"]) <= LONGEST_IN_PLACE
    path, _ = drawn(shown["md"])
    assert path.attrib["d"].count("l") >= min(count - 1, 30)


def test_a_curve_goes_from_the_first_value_to_the_last() -> None:
    shown = small_curve([(1, 4.0), (2, 2.0), (3, 1.0)], "loss by step")
    assert shown is not None
    path, words = drawn(shown["md"])
    assert words == "loss by step: 4 to 1"
    numbers = [int(number) for number in re.findall(r"-?\d+", path.attrib["d"])]
    assert (sum(numbers[0::2]), sum(numbers[1::2])) == (300, 59)


def test_a_level_curve_stays_level() -> None:
    shown = small_curve([(1, 2.0), (9, 2.0)], "loss")
    assert shown is not None
    assert drawn(shown["md"])[0].attrib["d"] == "M0 1l300 0"


@pytest.mark.parametrize("points", [[], [(1, 2.0)], [(1, 2.0), (2, math.nan), (3, math.inf)]])
def test_less_than_two_points_are_no_curve(points: list[tuple[float, float]]) -> None:
    assert small_curve(points, "loss") is None


@pytest.mark.parametrize("count", [2, 3, 24, 200])
def test_bars_are_small_enough_to_be_shown_in_place(count: int) -> None:
    shown = small_bars([(start * 10, start + 1) for start in range(count)], "rows by tokens")
    assert shown is not None
    assert len(shown["md"]) <= LONGEST_IN_PLACE
    path, words = drawn(shown["md"])
    assert path.attrib["d"].count("v-58") == 1
    assert words.startswith(f"rows by tokens: from 0 to {(count - 1) * 10}")


def test_neighbours_are_joined_and_none_is_lost() -> None:
    shown = small_bars([(start, 1) for start in range(48)], "rows")
    assert shown is not None
    assert drawn(shown["md"])[1].endswith("the highest bar is 2")


def test_nothing_counted_is_no_picture() -> None:
    assert small_bars([], "rows") is None
    assert small_bars([(0.5, 7)], "rows by score") == {"md": "rows by score: all 7 at 0.5"}
    assert small_bars([(0, 0), (1, 0)], "rows") is None


def test_a_png_is_inline(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert inline_png(tmp_path / "a.png", "loss") == {"md": "![loss](data:image/png;base64,iVBORw==)"}


def test_few_distinct_values_are_counted_each() -> None:
    assert counted([1.0, 0.5, 1.0]) == [(0.5, 1), (1.0, 2)]


def test_many_values_are_counted_in_ranges() -> None:
    bars = counted([float(number) for number in range(240)])
    assert (len(bars), {count for _, count in bars}, bars[0][0]) == (24, {10}, 0.0)
