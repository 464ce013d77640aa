"""What a model answers to held-out rows, asked exactly as the deployed program asks.

What does not belong here: scoring the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autograms.conversation.tool_calls import readable
from autograms.errors import OutputError
from autograms.evaluation.rows import HeldOut
from autograms.models.base import Model, Reply, Request, read_output

__all__ = ["Answers", "Candidate", "answer_rows", "answer_with"]

Candidate = Path | Model
"""A model that is evaluated: its folder on this machine, or one that can only be asked, such as an endpoint's."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered.

    Attributes:
        texts: Its answer to each row; empty where it gave none.
        cost_usd: What they cost in US dollars, ``None`` where a price is unknown.
    """

    texts: list[str]
    cost_usd: float | None


def answer_with(model: Candidate, rows: Sequence[HeldOut], *, max_new_tokens: int, batch_size: int) -> Answers:
    """Return a model's answers without any chance in them: at temperature 0, a local model's in batches.

    Raises:
        ModelError: Where the model cannot be loaded or asked.
    """
    if isinstance(model, Path):
        from autograms.models.checkpoint import CheckpointModel

        model = CheckpointModel(model, batch_size=batch_size)
    return asyncio.run(answer_rows(model, rows, max_new_tokens=max_new_tokens))


async def answer_rows(model: Model, rows: Sequence[HeldOut], *, max_new_tokens: int) -> Answers:
    """Return any model's answers, in canonical form where they have one; an answer of the wrong form as it is.

    Raises:
        ModelError: Where the model cannot be asked.
    """
    requests = [row.request(max_new_tokens=max_new_tokens) for row in rows]
    try:
        replies = await asyncio.gather(*(_ask(model, request) for request in requests))
    finally:
        await model.close()
    costs = [reply.cost_usd for reply in replies]
    texts = [_read(request, reply) for request, reply in zip(requests, replies, strict=True)]
    return Answers(texts, None if None in costs else sum(cost or 0.0 for cost in costs))


async def _ask(model: Model, request: Request) -> Reply:
    try:
        return await model.complete(request)
    except OutputError:  # a refusal, or nothing within the limit of tokens: an answer, and a wrong one
        return Reply("", model.name)


def _read(request: Request, reply: Reply) -> str:
    if reply.tool_calls:
        return readable({"content": reply.text, "tool_calls": reply.tool_calls})
    try:
        return read_output(request, reply.text)
    except OutputError:
        return reply.text
