"""One shard of a simulation, and what runs in the workers of a cluster: its conversations, and what all shards share.

What does not belong here: starting workers, and putting shards together (``ray_engine``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autograms.conversation.journal import Journal, read_journal
from autograms.errors import SettingsError
from autograms.simulation.account import Account, Progress
from autograms.simulation.answers import Answers
from autograms.simulation.budget import Budget, Purse
from autograms.simulation.parcel import Parcel
from autograms.simulation.scenarios import Scenario
from autograms.simulation.simulator import Simulation

__all__ = ["Clerk", "Shard", "run_shard"]


@dataclass(frozen=True, slots=True)
class Shard:
    """Conversations that one worker simulates.

    Attributes:
        number: Which shard.
        scenarios: The conversations.
        answers: Those that are there already.
        journal: The shard's part of the journal, which exists; ``None`` where none is kept.
        concurrency: Conversations at once, at the most.
        budget: What all shards together may spend.
    """

    number: int
    scenarios: Sequence[Scenario]
    answers: Answers
    journal: Path | None
    concurrency: int
    budget: Budget | None


class Clerk:
    """What the shards share, in a process of its own: their counts, and the purse.

    Args:
        budget: What all of them together may spend.
    """

    def __init__(self, budget: Budget | None) -> None:
        self._counts: dict[int, Progress] = {}
        self._purse = Purse(budget or Budget())
        self._under_way: dict[int, list[float]] = {}

    def begin(self, shard: int) -> None:
        """Put back what a shard set aside in a worker that was lost: it begins again, and asks for the same."""
        left = self._under_way.pop(shard, [])
        self._purse.put(sum(left), further_calls=-len(left))

    def report(self, shard: int, progress: Progress) -> None:
        """Take note of a shard's counts."""
        self._counts[shard] = progress

    def counts(self) -> dict[int, Progress]:
        """Return the counts of the shards that have begun."""
        return self._counts

    def take(self, shard: int, expected: float) -> bool:
        """Do as :meth:`Purse.take`, for a call of a shard."""
        taken = self._purse.take(expected)
        if taken:
            self._under_way.setdefault(shard, []).append(expected)
        return taken

    def put(self, shard: int, reserved: float, spent: float, further_calls: int) -> None:
        """Do as :meth:`Purse.put`, for a call of a shard."""
        under_way = self._under_way.get(shard, [])
        if reserved in under_way:
            under_way.remove(reserved)
            self._purse.put(reserved, spent=spent, further_calls=further_calls)
        else:  # of a lost worker, told late: what was set aside for it is put back already
            self._purse.put(0.0, spent=spent, further_calls=further_calls + 1)


class _SharedPurse(Purse):
    """The clerk's purse, as a shard holds it."""

    def __init__(self, budget: Budget, clerk: Any, shard: int) -> None:
        super().__init__(budget)
        self._clerk, self._shard = clerk, shard

    def take(self, expected: float) -> bool:
        import ray

        taken: bool = ray.get(self._clerk.take.remote(self._shard, expected))
        self.empty = self.empty or not taken
        return taken

    def put(self, reserved: float, *, spent: float = 0.0, further_calls: int = 0) -> None:
        self._clerk.put.remote(self._shard, reserved, spent, further_calls)


def run_shard(parcel: Parcel, shard: Shard, clerk: Any) -> Simulation:
    """Simulate a shard. What a worker that was lost had paid for is taken from the shard's part of the journal.

    Args:
        parcel: The simulator.
        shard: The conversations.
        clerk: The handle on the :class:`Clerk`.

    Raises:
        SettingsError: Where the journal is not on this machine.
        AutogramsError: As :meth:`Simulator.run`.
    """
    simulator, cast = parcel.open(concurrency=shard.concurrency)
    clerk.begin.remote(shard.number)
    if shard.journal is not None:
        if not shard.journal.is_file():
            raise SettingsError(
                f"{shard.journal} is not on this machine; the machines of a cluster share the folder of the journal "
                "(--save_dir, AUTOGRAMS_STORAGE), so that what a lost worker paid for is found by the next"
            )
        shard.answers.recover(read_journal(shard.journal))
    account = Account(
        Progress(),
        Journal(shard.journal) if shard.journal is not None else None,
        _SharedPurse(shard.budget, clerk, shard.number) if shard.budget else None,
        data=simulator.data,
    )

    def report(progress: Progress) -> None:
        clerk.report.remote(shard.number, replace(progress))

    return simulator.play(shard.scenarios, cast, shard.answers, account, report)
