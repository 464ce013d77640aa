from __future__ import annotations

import pytest

from autograms.evaluation.likelihood import likelihoods
from autograms.finetuning.tokens import Row, read_rows
from tests.finetuning.rows import dpo_table
from tests.finetuning.small import Small

# Real trainings: on a busy machine importing their libraries alone can take a minute.
pytestmark = pytest.mark.timeout(600)


def test_batches_and_padding_change_nothing(small: Small) -> None:
    rows = list(read_rows(dpo_table(60), "dpo"))[:7]
    alone = likelihoods(small.folder / "sft", rows, batch_size=1)
    together = likelihoods(small.folder / "sft", rows, batch_size=8)
    for one, other in zip(alone, together, strict=True):
        assert [count for _, count in one] == [count for _, count in other]
        assert [total for total, _ in one] == pytest.approx([total for total, _ in other], abs=1e-3)


def test_the_sum_is_that_of_the_model_itself(small: Small) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from autograms.finetuning.tokens import load_tokenizer, tokenize_rows

    row = Row("r", [{"role": "user", "content": "My lamp?"}], ("Dear customer",), "validation")
    ((total, count),) = likelihoods(small.folder / "sft", [row], batch_size=1)[0]
    tokens = tokenize_rows([row], load_tokenizer(small.folder / "sft"), max_length=99, truncate=False)[0][0]
    model = AutoModelForCausalLM.from_pretrained(small.folder / "sft")
    inputs, labels = torch.tensor([tokens.input_ids()]), torch.tensor([tokens.labels()])
    loss = model(input_ids=inputs, labels=labels).loss.item()
    assert count == len(tokens.answers[0])
    assert total == pytest.approx(-loss * count, rel=1e-4)


def test_no_rows_load_no_model(small: Small) -> None:
    assert likelihoods(small.folder / "nowhere", [], batch_size=4) == []
