"""The simulator: a chatbot's program and a user's program talk to each other, thousands of conversations at once.

One event loop drives all of them. A conversation that fails is a failed memory and stops no other; an error that
every conversation would meet (no key, no such model) ends the simulation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autograms.autogram import Autogram
from autograms.conversation.garbage import collecting_seldom
from autograms.conversation.journal import Journal, read_journal
from autograms.conversation.record import Memory
from autograms.models.base import Model
from autograms.simulation import plain_user
from autograms.simulation.budget import Budget, Purse
from autograms.simulation.gate import userbot_findings
from autograms.simulation.ledger import Account, Answers, ConversationLedger, Progress
from autograms.simulation.scenarios import Scenario
from autograms.simulation.talk import Cast, talk

__all__ = ["USERBOT_FAULT", "OnUserbotFault", "Progress", "Simulation", "Simulator"]

OnUserbotFault = Literal["keep", "drop", "retry"]
USERBOT_FAULT = "UserbotFault"
"""The error of a conversation that was dropped for what its user did."""

_REPORT_EVERY = 0.1
_RETRIES = 2


@dataclass(slots=True)
class Simulation:
    """What a simulation made.

    Attributes:
        memories: One memory a scenario, in the scenarios' order.
        progress: The final counts.
    """

    memories: list[Memory]
    progress: Progress


class Simulator:
    """Simulates conversations between a chatbot and a userbot.

    Args:
        chatbot: The chatbot's autogram, usually with ``supervisor_mode=True``.
        userbot: The user's autogram; a plain user played by the chatbot's model where unset.
        concurrency: Conversations at once, at the most.
        on_userbot_fault: What is done with a conversation whose user did something wrong (see ``gate``): ``keep`` it,
            with the findings; ``drop`` it: it is kept as failed on the user's side, and trains nothing; or ``retry``
            twice, and keep the last.
    """

    def __init__(
        self,
        chatbot: Autogram,
        userbot: Autogram | None = None,
        *,
        concurrency: int = 64,
        on_userbot_fault: OnUserbotFault = "keep",
    ) -> None:
        self.chatbot = chatbot
        if userbot is None:
            userbot = Autogram(plain_user.chatbot, chatbot.config, chatbot.model, name="plain_user")
        userbot.side = "user"
        self.userbot = userbot
        self.concurrency = max(1, concurrency)
        self.on_userbot_fault = on_userbot_fault

    def run(
        self,
        scenarios: Sequence[Scenario],
        *,
        journal: Path | None = None,
        previous: Iterable[Memory] = (),
        fresh: bool = False,
        fingerprint: str = "",
        budget: Budget | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        chatbot_memory: str | None = None,
        user_memory: str | None = None,
    ) -> Simulation:
        """Simulate every scenario.

        Args:
            scenarios: The conversations to simulate.
            journal: File that every paid answer is appended to; what an interrupted simulation paid is read from it.
            previous: Memories whose answers are reused where the same is asked.
            fresh: Pay for everything again.
            fingerprint: Kept in each memory.
            budget: What may be spent. Conversations that it does not hold are ``truncated``; what was paid is kept, and
                a later run goes on from there.
            on_progress: Called with the counts, ten times a second at the most, and at the end.
            chatbot_memory: A saved memory that each conversation's chatbot starts from.
            user_memory: A saved memory that each conversation's user starts from.

        Raises:
            CredentialsError: Where the endpoint wants a key.
            ModelNameError: Where there is no such model.
            BudgetError: Where the budget is in dollars and a model has no price.
        """
        cast = Cast(self.chatbot, self.userbot, chatbot_memory, user_memory, fingerprint)
        if fresh and journal is not None:
            journal.unlink(missing_ok=True)
        entries = read_journal(journal) if journal is not None else ()
        answers = Answers() if fresh else Answers(previous, entries)
        account = Account(
            Progress(total=len(scenarios)),
            Journal(journal) if journal is not None else None,
            Purse(budget) if budget else None,
        )
        run = _Run(cast, answers, account, on_progress, self.on_userbot_fault)
        with collecting_seldom():
            asyncio.run(run.all(scenarios, self.concurrency))
        return Simulation([memory for memory in run.memories if memory is not None], account.progress)


class _Run:
    """One call of :meth:`Simulator.run`."""

    def __init__(
        self,
        cast: Cast,
        answers: Answers,
        account: Account,
        on_progress: Callable[[Progress], None] | None,
        on_userbot_fault: OnUserbotFault,
    ) -> None:
        self.cast = cast
        self.answers = answers
        self.account = account
        self.on_progress = on_progress
        self.on_userbot_fault = on_userbot_fault
        self.memories: list[Memory | None] = []
        self.started = self.reported = time.monotonic()

    async def all(self, scenarios: Sequence[Scenario], concurrency: int) -> None:
        """Simulate every scenario, at most ``concurrency`` at once.

        It returns nothing: ``asyncio.run`` renders a task's whole result as text when it restores Ctrl-C.
        """
        self.memories = [None] * len(scenarios)
        waiting = iter(enumerate(scenarios))
        try:
            self.cast.chatbot.run_init()
            self.cast.userbot.run_init()
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(scenarios))):
                    group.create_task(self._work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            if self.account.journal is not None:
                self.account.journal.close()
            for model in self._models():
                await model.close()
        self._report(at_once=True)

    def _models(self) -> list[Model]:
        chatbot, userbot = self.cast.chatbot, self.cast.userbot
        found = [chatbot.model, chatbot.classifier, userbot.model, userbot.classifier]
        return list({id(model): model for model in found if model is not None}.values())

    async def _work(self, waiting: Iterator[tuple[int, Scenario]]) -> None:
        progress = self.account.progress
        for number, scenario in waiting:
            memory = self.memories[number] = await self._converse(scenario)
            progress.finished += 1
            progress.failed += memory.status == "failed"
            progress.truncated += memory.status == "truncated"
            progress.faults += bool(memory.findings)
            self._report()

    async def _converse(self, scenario: Scenario) -> Memory:
        """Let the two talk, again where the user did something wrong and that is asked for.

        One ledger serves all tries, so that each has its own answers to the same questions, in this run and the next.
        """
        ledger = ConversationLedger(scenario.key, self.answers.of(scenario.key), self.account)
        tries = 1 + (_RETRIES if self.on_userbot_fault == "retry" else 0)
        for _ in range(tries):
            memory = await talk(self.cast, scenario, ledger, on_turn=self._report)
            memory.findings = userbot_findings(memory, scenario)
            if not memory.findings or memory.status == "truncated":
                break
        if memory.findings and self.on_userbot_fault == "drop" and memory.status == "completed":
            memory.status, memory.error, memory.error_side = "failed", USERBOT_FAULT, "user"
            memory.error_message = f"the user's program: {', '.join(memory.findings)}"
        return memory

    def _report(self, *, at_once: bool = False) -> None:
        if self.on_progress is None and not at_once:
            return
        now = time.monotonic()
        if at_once or now - self.reported >= _REPORT_EVERY:
            self.reported = now
            self.account.progress.seconds = now - self.started
            if self.on_progress is not None:
                self.on_progress(self.account.progress)
