from __future__ import annotations

from typing import Any

import pytest

from autograms.evaluation.rows import HeldOut
from autograms.evaluation.scoring import Scored, better_by, preference, summary
from autograms.finetuning.tokens import Row


def row(key: str, expected: str, kind: str = "text", schema: str | None = None) -> HeldOut:
    return HeldOut(Row(key, [], (expected,), "validation"), kind, (), schema, key, "")


def scored(name: str = "sft", **values: Any) -> Scored:
    empty: dict[str, Any] = {"answers": [], "exact": [], "rouge": [], "losses": [], "pairs": []}
    return Scored(name, **{**empty, **values})


def test_a_summary_weighs_losses_by_tokens_and_splits_by_kind() -> None:
    rows = [row("a", "Yes", "choice"), row("b", "long text"), row("c", '{"x": 1}', "object", '{"required": ["x"]}')]
    answers = ["Yes", "text", "{}"]
    losses = [(-2.0, 1), (-4.0, 4), (-1.0, 2)]
    found = summary(scored(answers=answers, exact=[1.0, 0.0, 0.0], rouge=[1.0, 0.5, 0.0], losses=losses), rows, seed=0)
    values = {name: estimate.value for name, estimate in found.items() if estimate}
    assert values == pytest.approx(
        {"eval_loss": 1.0, "exact_match": 1 / 3, "rouge_l": 0.5, "agreement": 1.0, "valid_json": 0.0}
    )


def test_measures_without_rows_are_none() -> None:
    found = summary(scored(answers=["x"], exact=[1.0], rouge=[1.0], losses=[(-1.0, 1)]), [row("a", "x")], seed=0)
    assert found["agreement"] is None
    assert found["valid_json"] is None


def test_margin_is_relative_to_the_reference_and_accuracy_is_not() -> None:
    pairs = [row("a", ""), row("b", "")]
    reference = scored(pairs=[((-10.0, 10), (-4.0, 2)), ((-5.0, 5), (-5.0, 10))])
    model = scored(pairs=[((-6.0, 10), (-8.0, 2)), ((-5.0, 5), (-9.0, 10))])
    found = preference(model, reference, pairs, beta=0.5, seed=0)
    assert found.margin is not None
    assert found.margin.value == pytest.approx(0.5 * ((4 + 4) + (0 + 4)) / 2)
    assert found.reward_accuracy is not None
    assert found.reward_accuracy.value == 1.0
    assert found.accuracy is not None
    assert found.accuracy.value == 0.5  # the second chosen answer is less likely, a token, than the rejected one
    same = preference(reference, reference, pairs, beta=0.5, seed=0)
    assert same.margin is not None
    assert same.margin.value == 0.0


def test_better_by_takes_exact_match_for_decisions_and_rouge_otherwise() -> None:
    rows = [row("a", "Yes", "choice"), row("b", "text")]
    base = scored("base", exact=[0.0, 0.0], rouge=[0.9, 0.1])
    model = scored(exact=[1.0, 0.0], rouge=[1.0, 0.6])
    found = better_by(model, base, rows, seed=0)
    assert found is not None
    assert found.value == pytest.approx((1.0 + 0.5) / 2)
