"""A further round of preference training: the trained student answers again, and its own mistakes become pairs.

The supervisors' answers are recorded already, so a round asks the student alone. What does not belong here: asking the
student of one conversation (``simulation.student``), rows (``datasets``), and training (``finetuning``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.conversation.record import Memory
from autograms.models.base import Model
from autograms.settings import DatasetSettings

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OwnMistakes", "own_mistakes"]


@dataclass(frozen=True, slots=True)
class OwnMistakes:
    """What a student answered otherwise than the supervisors.

    Attributes:
        pairs: Rows of the DPO schema: the supervisor's answer, and what the student said instead.
        asked: Calls that the student was asked.
        malformed: Answers that are none of the choices, or not the JSON asked for: no pair can hold them.
    """

    pairs: pa.Table
    asked: int
    malformed: int


def own_mistakes(
    student: Path | Model, memories: Iterable[Memory], settings: DatasetSettings, *, batch_size: int = 64
) -> OwnMistakes:
    """Ask a student everything that supervisors answered, on the same prompts, and pair the answers that differ.

    The pairs hold the student's answers only, not those that the supervisors rejected. The memories stay as they are.

    Args:
        student: The student's folder, or a model.
        memories: Conversations under supervision.
        settings: Which calls become rows, and the split, which is that of every dataset with these settings.
        batch_size: Calls that are answered at once.

    Raises:
        ModelError: Where the student cannot be loaded or asked.
        DatasetError: Where a recorded prompt cannot be read.
    """
    from autograms.datasets import build_dpo
    from autograms.models.checkpoint import CheckpointModel
    from autograms.simulation.student import STUDENT

    model = CheckpointModel(student, batch_size=batch_size) if isinstance(student, Path) else student
    asked = [_without_rejected(memory) for memory in memories]
    asyncio.run(_ask_all(model, asked, batch_size))
    answers = [call for memory in asked for call in memory.calls if call.side == STUDENT]
    malformed = sum(call.error is not None for call in answers)
    return OwnMistakes(build_dpo(asked, settings).table, len(answers), malformed)


def _without_rejected(memory: Memory) -> Memory:
    from autograms.simulation.student import STUDENT

    calls = [replace(call, rejected=()) for call in memory.calls if call.side != STUDENT]
    return replace(memory, calls=calls, live=None)


async def _ask_all(model: Model, memories: list[Memory], at_once: int) -> None:
    from autograms.simulation.ledger import Account, ConversationLedger, Progress
    from autograms.simulation.student import ask_student

    account, waiting = Account(Progress(total=len(memories))), iter(memories)

    async def work() -> None:
        for memory in waiting:
            await ask_student(memory, model, ConversationLedger(memory.scenario, {}, account))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(memories))):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        await model.close()
