"""What the conversations of a simulation share: its counts, its journal, its budget and its batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autograms.conversation.journal import Journal
from autograms.errors import SettingsError
from autograms.models.base import Reply
from autograms.models.prices import cost_text
from autograms.simulation.answers import entry_of
from autograms.simulation.budget import Budget, Purse
from autograms.simulation.in_flight import batches_of
from autograms.simulation.waves import Waves

__all__ = ["Account", "Progress"]


@dataclass(slots=True)
class Progress:
    """Counts of a running simulation.

    Attributes:
        total: Conversations to simulate.
        finished: Conversations that are done, failed ones included.
        failed: Conversations that failed.
        truncated: Conversations that the budget ended before they were done.
        faults: Conversations whose user did something wrong.
        calls: Calls that programs made: paid, reused, and answered by supervisors.
        paid: Answers that a model was asked for in this run.
        reused: Answers that came from an earlier run.
        input_tokens: Prompt tokens of the paid calls.
        output_tokens: Completion tokens of the paid calls.
        cost_usd: Price of the paid calls where known, in US dollars.
        unpriced: Paid calls of models without a known price.
        seconds: Time since the start.
        batches: What the batches under way do, where calls go through the batch API.
    """

    total: int = 0
    finished: int = 0
    failed: int = 0
    truncated: int = 0
    faults: int = 0
    calls: int = 0
    paid: int = 0
    reused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    seconds: float = 0.0
    batches: str = ""

    def told(self) -> str:
        """Return the counts of calls, tokens, cost and failures as one text."""
        parts = [f"{self.calls} calls"]
        if self.reused:
            parts.append(f"{self.paid} paid, {self.reused} reused")
        parts.append(f"{self.input_tokens + self.output_tokens} tokens")
        parts.append(cost_text(self.cost_usd, self.unpriced))
        parts.append(f"{self.failed} failed")
        if self.faults:
            parts.append(f"{self.faults} with faults of the user's program")
        if self.batches:
            parts.append(self.batches)
        return " · ".join(parts)


@dataclass(slots=True)
class Account:
    """What all conversations of a simulation share.

    Attributes:
        progress: The counts.
        journal: Where paid answers go, or ``None``.
        purse: What may be spent, or ``None`` for any amount.
        waves: Where calls wait for a batch, or ``None`` where each is sent at once.
        data: Hash of the data files that programs open: the result of a step is reused only where they are the same.
    """

    progress: Progress
    journal: Journal | None = None
    purse: Purse | None = None
    waves: Waves | None = None
    data: str = ""

    @classmethod
    def open(
        cls,
        journal: Path | None,
        budget: Budget | None,
        *,
        batch: float | None = None,
        fresh: bool = False,
        data: str = "",
    ) -> Account:
        """Return a new account with this journal and this budget.

        Args:
            journal: The journal's file.
            budget: What may be spent.
            batch: Longest wait between two looks at a batch, in seconds, where calls go through the batch API.
            fresh: Give up the batches that an earlier simulation left.
            data: Hash of the data files that the programs open.

        Raises:
            SettingsError: Where there are to be batches, and no journal.
        """
        waves = None
        if batch is not None and journal is None:
            raise SettingsError(
                "batch = True without a journal: batches take hours, and what is known of them is kept beside the "
                "journal; give journal=Path(...)"
            )
        if batch is not None and journal is not None:
            waves = Waves(batches_of(journal), batch, fresh=fresh)
        purse = Purse(budget, batch=waves is not None) if budget else None
        return cls(Progress(), Journal(journal) if journal is not None else None, purse, waves, data)

    def pay(self, scenario: str, key: str, number: int, reply: Reply) -> None:
        """Count a paid answer and write it to the journal."""
        self.count(reply)
        self.keep(scenario, key, number, reply)

    def count(self, reply: Reply) -> None:
        """Count what an answer cost, all its tries."""
        progress = self.progress
        progress.paid += reply.tries
        progress.input_tokens += reply.input_tokens
        progress.output_tokens += reply.output_tokens
        if reply.cost_usd is None:
            progress.unpriced += 1
        else:
            progress.cost_usd += reply.cost_usd

    def keep(self, scenario: str, key: str, number: int, reply: Reply) -> None:
        """Write an answer to the journal: the conversation's ``number``-th to this request, from 0."""
        if self.journal is not None:
            self.journal.append(entry_of(scenario, key, number, reply))
