from __future__ import annotations

from collections.abc import Callable

import pytest

from autograms.evaluation.judge import win_rate
from autograms.evaluation.rows import HeldOut
from autograms.finetuning.tokens import Row
from autograms.models import Request, ScriptedModel

ROW = HeldOut(Row("r", [{"role": "user", "content": "Hi"}], ("Good day",), "validation"), "text", (), None, "s", "")


def rate(judge: Callable[[Request], str], answer: str = "Good day!", other: str = "yo") -> float:
    found = win_rate(ScriptedModel(judge), [ROW], [answer], [other], seed=0)
    assert found is not None
    return found.value


def prefers(text: str) -> Callable[[Request], str]:
    def judge(request: Request) -> str:
        return "A" if f"Answer A:\n{text}" in str(request.messages[0]["content"]) else "B"

    return judge


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        (prefers("Good day!"), 1.0),
        (prefers("yo"), 0.0),
        (lambda request: "A", 0.5),
        (lambda request: "tie", 0.5),
        (lambda request: "both are fine to me", 0.5),
    ],
    ids=["wins", "loses", "follows the order", "tie", "no verdict"],
)
def test_both_orders_must_agree(judge: Callable[[Request], str], expected: float) -> None:
    assert rate(judge) == expected


def test_equal_answers_tie_without_a_question() -> None:
    model = ScriptedModel()
    found = win_rate(model, [ROW], ["same"], ["same "], seed=0)
    assert found is not None
    assert found.value == 0.5
    assert model.requests == []


def test_decisions_need_no_judge() -> None:
    choice = HeldOut(ROW.row, "choice", ("Yes", "No"), None, "s", "")
    assert win_rate(ScriptedModel(), [choice], ["Yes"], ["No"], seed=0) is None
