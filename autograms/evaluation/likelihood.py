"""How likely a model finds given answers: the ground of loss, preference accuracy and margin.

What does not belong here: means over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.errors import DatasetError
from autograms.finetuning.student import is_tiny
from autograms.finetuning.tokens import Row, TokenRow, load_tokenizer, tokenize_rows
from autograms.models.device import find_device
from autograms.models.loading import load_model

if TYPE_CHECKING:
    import torch

__all__ = ["Likelihood", "likelihoods"]

Likelihood = tuple[float, int]
"""Sum of the log-probabilities of an answer's tokens (those with loss), and their number."""

_ANY_LENGTH = 1 << 30


def likelihoods(model_dir: Path, rows: Sequence[Row], *, batch_size: int) -> list[tuple[Likelihood, ...]]:
    """Return, for each row and each of its answers, how likely the model finds it behind the row's prompt.

    Args:
        model_dir: A model's folder.
        rows: SFT or DPO rows.
        batch_size: Sequences that are read at once.

    Raises:
        DatasetError: Where a row has no token to score.
        TrainingError: Where the folder holds no model.
    """
    import torch

    if not rows:
        return []
    if is_tiny(model_dir):
        torch.set_num_threads(1)
    tokenizer = load_tokenizer(model_dir)
    tokens, audit = tokenize_rows(rows, tokenizer, max_length=_ANY_LENGTH, truncate=False)
    if len(tokens) != len(rows):
        named = ", ".join(row for ids in audit.named.values() for row in ids)
        raise DatasetError(f"rows without a token to score: {named}")
    device = find_device()
    model = load_model(model_dir, dtype=device.dtype)
    model.eval().to(device.kind)
    sequences = [(row, answer) for row in tokens for answer in range(len(row.answers))]
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index][0].input_ids(sequences[index][1])))
    results: list[Likelihood] = [(0.0, 0)] * len(sequences)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        for index, result in zip(batch, _score(model, [sequences[i] for i in batch]), strict=True):
            results[index] = result
    found = iter(results)
    return [tuple(next(found) for _ in row.answers) for row in tokens]


def _score(model: Any, sequences: list[tuple[TokenRow, int]]) -> list[Likelihood]:
    import torch

    from autograms.finetuning.tokens import IGNORED

    ids = [torch.tensor(row.input_ids(answer)) for row, answer in sequences]
    labels = [torch.tensor(row.labels(answer)) for row, answer in sequences]
    # Padding stands on the right: with causal attention it changes nothing before it, so that no mask is needed.
    inputs = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(model.device)
    wanted = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED).to(model.device)[:, 1:]
    with torch.inference_mode():
        logits = model(input_ids=inputs).logits[:, :-1]
        picked = _log_probabilities(logits, wanted.clamp(min=0))
    counted = wanted != IGNORED
    sums = (picked * counted).sum(dim=1).tolist()
    return list(zip(sums, counted.sum(dim=1).tolist(), strict=True))


def _log_probabilities(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.log_softmax(logits.float(), dim=-1).gather(2, wanted[:, :, None])[:, :, 0]
