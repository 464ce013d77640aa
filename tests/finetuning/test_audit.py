from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from autograms.finetuning.audit import NO_ROOM, TOO_LONG, TokenAudit
from autograms.finetuning.counting import audit_rows
from autograms.finetuning.tokens import Row, context_length, fitting_rows, tokenize_rows
from tests.finetuning.rows import dpo_table, sft_table

LIMIT = 60


def asking(name: str, prompt: str, *answers: str) -> Row:
    return Row(name, [{"role": "user", "content": prompt}], answers, "train")


ROWS = [
    asking("short", "Hi", "Hello."),
    asking("long", "kettle " * 100, "yes"),
    asking("wordy", "Hi", "kettle " * 100),
]


def audited(tokenizer: Any, rows: list[Row], *, truncate: bool = False) -> tuple[TokenAudit, dict[str, Any]]:
    """Return the account of some rows, and the tokens of each as if nothing were too long."""
    audit = TokenAudit(LIMIT)
    list(fitting_rows(rows, tokenizer, audit, truncate=truncate))
    kept, _ = tokenize_rows(rows, tokenizer, max_length=100_000, truncate=False)
    return audit, {row.id: row for row in kept}


def test_what_is_left_out_is_counted_with_its_tokens(tokenizer: Any) -> None:
    audit, whole = audited(tokenizer, ROWS)
    assert (audit.rows, audit.trained, audit.over, audit.truncated) == (3, 1, 2, 0)
    assert audit.left_out == {TOO_LONG: 1, NO_ROOM: 1}
    assert audit.named == {TOO_LONG: ["long"], NO_ROOM: ["wordy"]}
    assert audit.tokens == whole["short"].tokens
    assert audit.tokens_lost == whole["long"].tokens + whole["wordy"].tokens
    assert audit.loss_tokens_lost == whole["long"].loss_tokens + whole["wordy"].loss_tokens
    assert audit.could_cut == whole["long"].length - LIMIT
    assert audit.longest == max(row.length for row in whole.values())


def test_truncation_loses_tokens_of_prompts_and_none_with_loss(tokenizer: Any) -> None:
    audit, whole = audited(tokenizer, ROWS[:2], truncate=True)
    assert (audit.trained, audit.truncated, audit.left_out, audit.could_cut) == (2, 1, {}, 0)
    assert (audit.tokens_lost, audit.loss_tokens_lost) == (whole["long"].length - LIMIT, 0)
    assert audit.loss_tokens == sum(row.loss_tokens for row in whole.values())


def test_both_answers_of_a_pair_lose_what_is_cut(tokenizer: Any) -> None:
    audit, whole = audited(tokenizer, [asking("pair", "kettle " * 100, "yes", "no")], truncate=True)
    assert audit.tokens_lost == 2 * (whole["pair"].length - LIMIT)
    assert audit.tokens == whole["pair"].tokens - audit.tokens_lost


def test_the_table_shows_what_is_lost_and_what_truncate_would_save(tokenizer: Any) -> None:
    audit, _ = audited(tokenizer, ROWS)
    shown = audit.as_markdown()
    for line in (
        "| rows over the limit | 2 |",
        "| left out: longer than the limit | 1 |",
        "| left out: the answer alone fills the limit | 1 |",
        f"| tokens lost | {audit.tokens_lost:,} |",
        f"| tokens lost that carry loss | {audit.loss_tokens_lost:,} |",
        "With truncate, 1 of the rows that are left out would train",
        "Left out, the answer alone fills the limit: `wordy`",
    ):
        assert line in shown


def test_ten_rows_are_named_and_the_others_counted(tokenizer: Any) -> None:
    audit, _ = audited(tokenizer, [asking(f"row{n}", "kettle " * 100, "yes") for n in range(12)])
    assert "`row0`, `row1`" in audit.as_markdown()
    assert "`row9` and 2 more" in audit.as_markdown()


def test_a_model_reads_what_its_configuration_says(tiny: Path, tokenizer: Any, tmp_path: Path) -> None:
    tokenizer = copy.copy(tokenizer)
    tokenizer.model_max_length = 2048
    assert context_length(tiny, tokenizer) == 4096
    assert context_length(tmp_path / "nowhere", tokenizer) == 2048


def test_no_row_is_longer_than_the_model_reads(tiny: Path, tokenizer: Any) -> None:
    assert context_length(tiny, tokenizer) == 4096
    audit = audit_rows(sft_table(40), "sft", model=tiny, max_length=100_000)
    assert (audit.max_length, audit.context) == (4096, 4096)
    assert "| longest input of the model | 4,096 |" in audit.as_markdown()
    kept, audit = tokenize_rows(ROWS, tokenizer, max_length=1000, truncate=False, context=LIMIT)
    assert ([row.id for row in kept], audit.max_length) == (["short"], LIMIT)


@pytest.mark.parametrize(("kind", "table"), [("sft", sft_table(40)), ("dpo", dpo_table(40))])
def test_rows_of_which_none_trains_are_told_of_and_not_raised(tiny: Path, kind: Any, table: Any) -> None:
    audit = audit_rows(table, kind, model=tiny, max_length=16)
    assert audit.trained == 0
    assert (audit.refusal() or "").startswith(f"none of the {audit.rows} rows can be trained on: ")
    assert "tokens are lost" in audit.told()
    assert audit_rows(table, kind, model=tiny, max_length=1024).refusal() is None
