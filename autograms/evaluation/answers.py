"""What a model answers to held-out rows, asked exactly as the deployed program asks.

What does not belong here: scoring the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from autograms.errors import OutputError
from autograms.evaluation.rows import HeldOut
from autograms.models.base import Model, read_output

__all__ = ["answer_rows", "answer_with"]


def answer_with(model_dir: Path, rows: Sequence[HeldOut], *, max_new_tokens: int, batch_size: int) -> list[str]:
    """Return a local model's greedy answers, generated in batches.

    Raises:
        ModelError: Where the model cannot be loaded or asked.
    """
    from autograms.models.checkpoint import CheckpointModel

    return asyncio.run(
        answer_rows(CheckpointModel(model_dir, batch_size=batch_size), rows, max_new_tokens=max_new_tokens)
    )


async def answer_rows(model: Model, rows: Sequence[HeldOut], *, max_new_tokens: int) -> list[str]:
    """Return any model's answers, in canonical form where they have one; an answer of the wrong form as it is.

    Raises:
        ModelError: Where the model cannot be asked.
    """
    requests = [row.request(max_new_tokens=max_new_tokens) for row in rows]
    try:
        replies = await asyncio.gather(*(model.complete(request) for request in requests))
    finally:
        await model.close()
    answers = []
    for request, reply in zip(requests, replies, strict=True):
        try:
            answers.append(read_output(request, reply.text))
        except OutputError:
            answers.append(reply.text)
    return answers
