from __future__ import annotations

from pathlib import Path

import pytest

from autograms.conversation.record import Memory, Turn
from autograms.evaluation import Evaluation, evaluate
from autograms.settings import EvaluationSettings
from tests.finetuning.rows import dpo_table, sft_table
from tests.finetuning.small import Small, small_models


@pytest.fixture(scope="session")
def small() -> Small:
    return small_models()


def deployed(model: Path) -> list[Memory]:
    """Stand in for the simulator: what a model says is its folder's name."""
    said = Turn("assistant", f"I am {model.name} | <b>", 1)
    good = Memory("desk", "s1", turns=[Turn("user", "Hi", 0), said])
    failed = Memory("desk", "s2", status="failed", error="OutputError", error_message="no choice", turns=[said])
    return [good, failed]


@pytest.fixture(scope="session")
def evaluation(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluate(
        sft_table=sft_table(60),
        dpo_table=dpo_table(60),
        base=small.folder / "sft" / "base",
        sft=small.folder / "sft",
        dpo=small.folder / "dpo",
        output_dir=tmp_path_factory.mktemp("evaluation") / "desk",
        settings=EvaluationSettings(max_new_tokens=24, max_rows=12),
        deployment=deployed,
        supervised=[Memory("desk", "s1", turns=[Turn("user", "Hi", 0), Turn("assistant", "I am dpo | <b>", 1)])],
        name="desk",
    )
