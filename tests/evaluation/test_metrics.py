from __future__ import annotations

import pytest

from autograms.evaluation.metrics import estimate, exact_match, ratio, rouge_l, valid_object


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("yes", "yes", 1.0),
        (" yes\n", "yes", 1.0),
        ("yes", "no", 0.0),
        ("", "", 1.0),
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', 1.0),
        ('{"a": 1}', '{"a": 2}', 0.0),
        ("1", "1.0", 0.0),
    ],
)
def test_exact_match(answer: str, expected: str, score: float) -> None:
    assert exact_match(answer, expected) == score


def test_rouge_l_is_the_share_of_words_in_order() -> None:
    assert rouge_l("a b c", "a b c") == 1.0
    assert rouge_l("a c", "a b c") == pytest.approx(0.8)
    assert rouge_l("x y", "a b c") == 0.0
    assert rouge_l("", "a b c") == 0.0


@pytest.mark.parametrize(
    ("answer", "valid"),
    [('{"name": "x"}', 1.0), ('```json\n{"name": 1}\n```', 1.0), ("{}", 0.0), ("[1]", 0.0), ("name", 0.0)],
)
def test_valid_object(answer: str, valid: float) -> None:
    assert valid_object(answer, '{"type": "object", "required": ["name"]}') == valid


def test_an_object_without_a_schema_need_only_be_one() -> None:
    assert valid_object("{}", None) == 1.0


def test_an_estimate_is_the_mean_within_its_interval() -> None:
    found = estimate([0.0, 1.0] * 50, [str(index) for index in range(100)], seed=1)
    assert found is not None
    assert (found.value, found.count) == (0.5, 100)
    assert found.low == pytest.approx(0.4, abs=0.03)
    assert found.high == pytest.approx(0.6, abs=0.03)


def test_the_seed_decides_the_interval() -> None:
    values, keys = [index**0.5 for index in range(40)], [str(index) for index in range(40)]
    assert estimate(values, keys, seed=1) == estimate(values, keys, seed=1)
    assert estimate(values, keys, seed=1) != estimate(values, keys, seed=2)


def test_rows_of_one_conversation_count_as_one_draw() -> None:
    values = [0.0] * 50 + [1.0] * 50
    apart = estimate(values, [str(index) for index in range(100)], seed=1)
    together = estimate(values, [str(index // 25) for index in range(100)], seed=1)
    assert apart is not None
    assert together is not None
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_a_ratio_weighs_its_rows() -> None:
    found = ratio([10.0, 2.0], [10.0, 1.0], ["a", "b"], seed=0)
    assert found is not None
    assert found.value == pytest.approx(12 / 11)
    assert (found.low, found.high) == (1.0, 2.0)


def test_no_values_have_no_mean() -> None:
    assert estimate([], [], seed=0) is None
