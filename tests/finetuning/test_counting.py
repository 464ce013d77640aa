from __future__ import annotations

from pathlib import Path

import pytest

from autograms.datasets import build_dpo, build_sft
from autograms.errors import DatasetError, TrainingError
from autograms.finetuning.counting import audit_rows, token_counter
from autograms.settings import DatasetSettings
from tests.finetuning.rows import sft_table
from tests.memories import desk_memories

BUDGET = DatasetSettings(max_tokens_total=100_000)


def no_table() -> None:
    raise AssertionError("a model's own tokenizer needs no rows")


def test_audit_of_a_table_needs_no_model() -> None:
    audit = audit_rows(sft_table(40), "sft", model="tiny", max_length=1024)
    assert audit.trained == audit.rows == sum(row["split"] == "train" for row in sft_table(40).to_pylist())
    assert 0 < audit.loss_tokens < audit.tokens


@pytest.mark.parametrize(("kind", "build"), [("sft", build_sft), ("dpo", build_dpo)])
def test_a_budget_counts_what_the_audit_counts(tiny: Path, kind: str, build) -> None:
    count = token_counter(tiny, no_table, kind)
    built = build(desk_memories(8), BUDGET, count_tokens=count)
    assert built.report.tokens == audit_rows(built.table, kind, model=tiny, max_length=4096).tokens


def test_the_student_that_is_made_on_the_spot_counts_too() -> None:
    table = build_sft(desk_memories(8), DatasetSettings()).table
    built = build_sft(desk_memories(8), BUDGET, count_tokens=token_counter("tiny", lambda: table, "sft"))
    assert built.report.tokens == audit_rows(table, "sft", model="tiny", max_length=4096).tokens


def test_what_cannot_be_counted_with_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no tokenizer at"):
        token_counter(tmp_path, no_table, "sft")
    with pytest.raises(DatasetError, match="no text"):
        token_counter("tiny", lambda: sft_table(40).slice(0, 0), "sft")
