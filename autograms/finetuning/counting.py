"""Counting a dataset in the tokens of the model that it is for, before anything is trained.

What belongs here: finding that model's tokenizer, also where the model is made on the spot, and counting with it. What
does not: turning rows into tokens (``tokens``), and choosing rows (``autograms.datasets``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.finetuning.audit import TokenAudit
from autograms.finetuning.student import TINY, tiny_tokenizer
from autograms.finetuning.tokens import (
    Kind,
    answer_ids,
    context_length,
    fitting_rows,
    load_tokenizer,
    prompt_ids,
    read_rows,
    row_texts,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase

__all__ = ["audit_rows", "token_counter"]


def audit_rows(
    table: pa.Table, kind: Kind, *, model: str | Path, max_length: int, truncate: bool = False
) -> TokenAudit:
    """Account for a table's training rows in a model's own tokens, before anything is trained.

    Rows of which none can be trained on are no error here; see :meth:`TokenAudit.refusal`.

    Args:
        table: A table of the SFT or the DPO schema.
        kind: Which of the two.
        model: ``tiny``, a model's folder, or its name on the hub.
        max_length: Longest row in tokens, as in the recipe; what the model itself reads at the most counts too.
        truncate: As in the recipe.

    Raises:
        DatasetError: Where the table has no rows to train on.
        TrainingError: Where the model's tokenizer cannot be had, or cannot render the rows.
    """
    tokenizer = _tokenizer(model, lambda: table, kind)
    context = tokenizer.model_max_length if str(model) == TINY else context_length(model, tokenizer)
    audit = TokenAudit(min(max_length, context or max_length), context)
    for _ in fitting_rows(read_rows(table, kind, split="train"), tokenizer, audit, truncate=truncate):
        pass
    return audit


def token_counter(model: str | Path, table: Callable[[], pa.Table], kind: Kind) -> Callable[..., int]:
    """Return what counts the tokens of a row for a dataset's ``max_tokens_total``, as :func:`audit_rows` does.

    Args:
        model: ``tiny``, a model's folder, or its name on the hub.
        table: Makes the rows without the budget. It is called for ``tiny`` alone, whose tokenizer is trained on them;
            the one it is given later is trained on the rows that are left, and counts a little differently.
        kind: ``sft`` or ``dpo``, as the table is.

    Returns:
        From chat messages, the answer last, to the tokens that go through the model; ``tools=`` are those offered.

    Raises:
        DatasetError: Where there are no rows to train on.
        TrainingError: Where the model's tokenizer cannot be had.
    """
    tokenizer = _tokenizer(model, table, kind)

    def count(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> int:
        prompt = prompt_ids(tokenizer, messages[:-1], tools)
        return len(prompt) + len(answer_ids(tokenizer, messages[:-1], prompt, messages[-1], tools)[0])

    return count


def _tokenizer(model: str | Path, table: Callable[[], pa.Table], kind: Kind) -> PreTrainedTokenizerBase:
    if str(model) != TINY:
        return load_tokenizer(model)
    return tiny_tokenizer(row_texts(read_rows(table(), kind, split="train")))
