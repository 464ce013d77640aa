"""A model as judge: which of two answers is better, asked in both orders.

What does not belong here: figures that need no judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from autograms.conversation.tool_calls import readable
from autograms.errors import OutputError
from autograms.evaluation.metrics import Estimate, estimate
from autograms.evaluation.rows import HeldOut
from autograms.models.base import Model, Request, read_output

__all__ = ["win_rate"]

_CHOICES = ("A", "B", "tie")


def win_rate(
    model: Model, rows: Sequence[HeldOut], answers: Sequence[str], others: Sequence[str], *, seed: int
) -> Estimate | None:
    """Return how often the judge prefers ``answers`` to ``others``, a tie counting half.

    Each pair is shown in both orders; a judge that changes its mind with the order has seen a tie. Decisions are left
    out, since they can be compared exactly.

    Raises:
        ModelError: Where the judge cannot be asked.
    """
    free = [index for index, row in enumerate(rows) if row.kind != "choice"]
    shown = [(rows[index], answers[index], others[index]) for index in free]
    scores = asyncio.run(_ask_all(model, shown))
    return estimate(scores, [rows[index].cluster for index in free], seed=seed)


async def _ask_all(model: Model, shown: Sequence[tuple[HeldOut, str, str]]) -> list[float]:
    try:
        return list(await asyncio.gather(*(_ask(model, *item) for item in shown)))
    finally:
        await model.close()


async def _ask(model: Model, row: HeldOut, answer: str, other: str) -> float:
    if answer.strip() == other.strip():
        return 0.5
    verdicts = await asyncio.gather(_verdict(model, row, answer, other), _verdict(model, row, other, answer))
    wins = (verdicts[0] == "A") + (verdicts[1] == "B")
    losses = (verdicts[0] == "B") + (verdicts[1] == "A")
    return 1.0 if wins == 2 else 0.0 if losses == 2 else 0.5


async def _verdict(model: Model, row: HeldOut, first: str, second: str) -> str:
    question = (
        "Two assistants answered the last message of this conversation. Which answer is closer in content and tone to "
        f"the reference answer?\n\nConversation:\n{_conversation(row)}\n\nReference answer:\n{row.expected}\n\n"
        f"Answer A:\n{first}\n\nAnswer B:\n{second}\n\nReply with A, B or tie."
    )
    request = Request("choice", [{"role": "user", "content": question}], _CHOICES, params={"temperature": 0})
    try:
        return read_output(request, (await model.complete(request)).text)
    except OutputError:
        return "tie"


def _conversation(row: HeldOut) -> str:
    return "\n".join(f"{message['role']}: {readable(message)}" for message in row.row.messages)
