"""Rounds of preference training: the trained student answers again, and its own mistakes join the pairs.

They join the supervisors' pairs and do not take their place: a few mistakes alone, seen over and over, cost the student
what it could do before. The supervisors' answers are recorded already, so a round asks the student alone. What does not
belong here: asking the student about one conversation (``simulation.student``), rows (``datasets``), and one training
(``finetuning``).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.conversation.record import STUDENT, Memory
from autograms.conversation.tool_calls import TOOL_CALLS
from autograms.models.base import Model
from autograms.settings import DatasetSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from autograms.finetuning.job import TrainingResult

__all__ = ["OwnMistakes", "joined", "own_mistakes", "train_rounds"]

Train = Callable[["pa.Table", Path | str, Path], "TrainingResult"]
"""Trains on pairs, from a base, into a folder."""


@dataclass(frozen=True, slots=True)
class OwnMistakes:
    """What a student answered otherwise than the supervisors.

    Attributes:
        pairs: Rows of the DPO schema: the supervisor's answer, and what the student said instead.
        asked: Calls that the student was asked.
        malformed: Answers that are none of the choices, or not the JSON asked for: no pair can hold them.
        calling: Answers that call tools where the supervisor answered: nobody said that to look something up is wrong.
    """

    pairs: pa.Table
    asked: int
    malformed: int
    calling: int


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

    model = CheckpointModel(student, batch_size=batch_size) if isinstance(student, Path) else student
    asked = [_without_rejected(memory) for memory in memories]
    asyncio.run(_ask_all(model, asked, batch_size))
    answers = [call for memory in asked for call in memory.calls if call.side == STUDENT]
    malformed = sum(call.error is not None for call in answers)
    calling = sum(call.kind == TOOL_CALLS and call.error is None for call in answers)
    return OwnMistakes(build_dpo(asked, settings).table, len(answers), malformed, calling)


def joined(pairs: pa.Table, further: pa.Table) -> pa.Table:
    """Return pairs with those further ones that are not among them."""
    import pyarrow as pa
    import pyarrow.compute as compute

    new = compute.invert(compute.is_in(further["id"], value_set=pairs["id"].combine_chunks()))
    return pa.concat_tables([pairs, further.filter(new)], promote_options="default")


def train_rounds(
    pairs: pa.Table,
    rounds: int,
    *,
    base: Path | str,
    output_dir: Path,
    scratch: Path,
    train: Train,
    memories: Callable[[], Iterable[Memory]],
    settings: DatasetSettings,
    tell: Callable[[str], None] = lambda line: None,
) -> TrainingResult:
    """Train on preference pairs, and then, round after round, on these and the student's own mistakes.

    A round whose student makes no mistake that trains is the last one.

    Args:
        pairs: The first round's pairs.
        rounds: How many rounds, at the most.
        base: The model that the first round starts from.
        output_dir: The last round's model.
        scratch: Folder for the models of the rounds before; they are removed at the end.
        train: Trains one round.
        memories: Returns the conversations under supervision.
        settings: Which calls become rows, and the split.
        tell: Told a line about each further round.

    Returns:
        The result of the last round that was trained; its metrics count the ``rounds``.
    """
    made: list[Path] = []
    start = base
    for number in range(1, rounds + 1):
        target = output_dir if rounds == 1 else scratch / f"round{number}"
        result = train(pairs, base, target)
        made.append(target)
        if number < rounds:
            found = own_mistakes(target, memories(), settings)
            training = found.pairs["split"].to_pylist().count("train")
            tell(
                f"round {number + 1}: {training} mistakes join the pairs that train, of {found.asked} answers "
                f"of the student ({found.malformed} malformed, {found.calling} that call tools)"
            )
            if not training:
                break
            pairs, base = joined(pairs, found.pairs), target
    return result if made == [output_dir] else _publish(result, made, start, output_dir)


def _publish(result: TrainingResult, made: list[Path], start: Path | str, output_dir: Path) -> TrainingResult:
    """Put the last round's model in its place, whole, and remove the others."""
    from autograms.finetuning.card import write_card

    result.model = str(output_dir)
    result.base = str(Path(start).resolve()) if Path(start).is_dir() else str(start)
    result.metrics["rounds"] = float(len(made))
    result.write(made[-1])
    write_card(made[-1], asdict(result))
    former = output_dir.with_name(f".{output_dir.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if output_dir.exists():
        output_dir.rename(former)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made[-1], output_dir)
    for folder in (former, *made[:-1]):
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _without_rejected(memory: Memory) -> Memory:

    calls = [replace(call, rejected=()) for call in memory.calls if call.side != STUDENT]
    return replace(memory, calls=calls, live=None)


async def _ask_all(model: Model, memories: list[Memory], at_once: int) -> None:
    from autograms.simulation.account import Account, Progress
    from autograms.simulation.ledger import ConversationLedger
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
