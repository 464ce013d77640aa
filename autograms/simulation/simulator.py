"""The simulator: a chatbot's program and a user's program talk to each other, thousands of conversations at once.

One event loop drives all of them. A conversation that fails is a failed memory and stops no other; an error that
every conversation would meet (no key, no such model) ends the simulation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autograms.autogram import Autogram
from autograms.conversation.garbage import collecting_seldom
from autograms.conversation.journal import gather_journal, read_journal
from autograms.conversation.record import STUDENT, Memory
from autograms.errors import ModelError, SettingsError
from autograms.models.base import Model
from autograms.program.side_by_side import side_by_side
from autograms.simulation import plain_user
from autograms.simulation.account import Account, Progress
from autograms.simulation.answers import Answers
from autograms.simulation.branching import Branches, BranchLedger, branch_points, can_branch, scenario_of
from autograms.simulation.budget import Budget
from autograms.simulation.gate import userbot_findings
from autograms.simulation.ledger import ConversationLedger, Stopped
from autograms.simulation.scenarios import Scenario
from autograms.simulation.student import ask_student
from autograms.simulation.talk import END_THE_SIMULATION, Cast, talk, truncate
from autograms.simulation.waves import Waves

if TYPE_CHECKING:
    from autograms.simulation.ray_engine import RayEngine

__all__ = ["USERBOT_FAULT", "OnUserbotFault", "Progress", "Simulation", "Simulator"]

OnUserbotFault = Literal["keep", "drop", "retry"]
USERBOT_FAULT = "UserbotFault"
"""The error of a conversation that was dropped for what its user did."""

_Job = Callable[[], Awaitable[None]]
_REPORT_EVERY = 0.1
_RETRIES = 2


@dataclass(slots=True)
class Simulation:
    """What a simulation made.

    Attributes:
        memories: One memory a scenario, in the scenarios' order, each followed by its branches.
        progress: The final counts.
    """

    memories: list[Memory]
    progress: Progress

    def told(self) -> str:
        """Return what the simulation did, in one line."""
        supervised = sum(call.supervised for memory in self.memories for call in memory.calls)
        answers = f" · {supervised} answered by supervisors" if supervised else ""
        counts = f"{self.progress.total} conversations in {self.progress.seconds:.1f} s"
        return f"{counts}: {self.progress.told()}{answers}"


class Simulator:
    """Simulates conversations between a chatbot and a userbot.

    Args:
        chatbot: The chatbot's autogram, usually with ``supervisor_mode=True``.
        userbot: The user's autogram; a plain user played by the chatbot's model where unset.
        concurrency: Conversations at once, at the most.
        on_userbot_fault: What is done with a conversation whose user did something wrong (see ``gate``): ``keep`` it,
            with the findings; ``drop`` it: it is kept as failed on the user's side, and trains nothing; or ``retry``
            twice, and keep the last.
        branches: Continuations that are made of each completed conversation; they follow it in the result.
        student: A model that is asked what supervisors answered, on the same prompts; what differs is kept as rejected.
        engine: Where :meth:`run` simulates; in this process where unset.
        batch: Send the calls of ``openai`` models through their endpoints' batch APIs: all conversations run at once,
            whatever ``concurrency`` says, and advance in waves. Needs a journal, and no engine.
        batch_poll_seconds: Longest wait between two looks at a batch, in seconds.
        data: Hash of the data files that the programs open; results of steps are reused only where it is the same.

    Raises:
        SettingsError: Where there is an engine, and batches.
    """

    def __init__(
        self,
        chatbot: Autogram,
        userbot: Autogram | None = None,
        *,
        concurrency: int = 64,
        on_userbot_fault: OnUserbotFault = "keep",
        branches: Branches | None = None,
        student: Model | None = None,
        engine: RayEngine | None = None,
        batch: bool = False,
        batch_poll_seconds: float = 60.0,
        data: str = "",
    ) -> None:
        self.chatbot = chatbot
        if userbot is None:
            userbot = Autogram(plain_user.chatbot, chatbot.config, chatbot.model, name="plain_user")
        userbot.side = "user"
        self.userbot = userbot
        self.concurrency = max(1, concurrency)
        self.on_userbot_fault = on_userbot_fault
        self.branches = branches
        self.student = student
        self.engine = engine
        self.batch = batch
        self.batch_poll_seconds = batch_poll_seconds
        self.data = data

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
            EndpointError: Where calls go in batches, and an endpoint has no batch API or fails a batch.
            SettingsError: Where calls go in batches, and there is no journal, or an engine.
        """
        if self.batch and self.engine is not None:
            raise SettingsError(
                "batch and an engine: a wave is made of the calls of all conversations, which one process drives at "
                'next to no cost; leave one of the two out (batch = false, or engine = "local")'
            )
        if journal is not None:
            gather_journal(journal)
            if fresh:
                journal.unlink(missing_ok=True)
        entries = read_journal(journal) if journal is not None else ()
        cast = Cast(self.chatbot, self.userbot, chatbot_memory, user_memory, fingerprint)
        answers = Answers() if fresh else Answers(previous, entries)
        if self.engine is not None:
            return self.engine.run(self, scenarios, cast, answers, journal, budget, on_progress)
        account = self._account(journal, budget, fresh=fresh)
        return self.play(scenarios, cast, answers, account, on_progress)

    def play(
        self,
        scenarios: Sequence[Scenario],
        cast: Cast,
        answers: Answers,
        account: Account,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Simulation:
        """Simulate in this process, as :meth:`run` does where there is no engine.

        Args:
            scenarios: As in :meth:`run`.
            cast: This simulator's programs.
            answers: Those that are there already.
            account: What is counted and kept; its journal is closed at the end.
            on_progress: As in :meth:`run`.
        """
        run = _Run(self, cast, answers, account, on_progress)
        return run.all([partial(run.simulate, number, scenario) for number, scenario in enumerate(scenarios)])

    def branch(
        self,
        memories: Sequence[Memory],
        branches: Branches,
        *,
        journal: Path | None = None,
        previous: Iterable[Memory] = (),
        budget: Budget | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Simulation:
        """Make other continuations of conversations that were simulated; nothing before the branches is paid again.

        Args:
            memories: The conversations.
            branches: Where they are branched, and how often.
            journal: As in :meth:`run`.
            previous: Branches that are there already, whose answers are reused.
            budget: As in :meth:`run`.
            on_progress: As in :meth:`run`.

        Raises:
            RecordError: Where a conversation was not simulated.
            SettingsError: Where none of the conversations has such a call.
            ModelError: As :meth:`run`.
        """
        jobs = [(number, memory, scenario_of(memory)) for number, memory in enumerate(memories)]
        if not any(branch_points(memory, branches.at) for memory in memories):
            made = sorted({call.primitive for memory in memories for call in memory.calls if can_branch(call)})
            raise SettingsError(
                f"none of {len(memories)} conversations has a call {branches.at!r} that a model answered; "
                f"calls to branch at: {', '.join(made) or 'none'}"
            )
        cast = Cast(self.chatbot, self.userbot, fingerprint=memories[0].fingerprint)
        entries = read_journal(journal) if journal is not None else ()
        account = self._account(journal, budget)
        run = _Run(self, cast, Answers(previous, entries), account, on_progress)
        return run.all([partial(run.branch, *job, branches) for job in jobs], total=0)

    def _account(self, journal: Path | None, budget: Budget | None, *, fresh: bool = False) -> Account:
        batch = self.batch_poll_seconds if self.batch else None
        return Account.open(journal, budget, batch=batch, fresh=fresh, data=self.data)


class _Run:
    """One call of :meth:`Simulator.play` or :meth:`Simulator.branch`."""

    def __init__(
        self,
        simulator: Simulator,
        cast: Cast,
        answers: Answers,
        account: Account,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.simulator = simulator
        self.cast = cast
        self.answers = answers
        self.account = account
        self.on_progress = on_progress
        self.other_model: Model | None = None
        self.memories: list[list[Memory]] = []
        self.started = self.reported = time.monotonic()

    def all(self, jobs: Sequence[_Job], *, total: int | None = None) -> Simulation:
        """Do every job, at most ``concurrency`` at once, or all where calls go in batches; return what they made."""
        self.memories = [[] for _ in jobs]
        self.account.progress.total = len(jobs) if total is None else total
        with collecting_seldom():
            asyncio.run(self._work_off(jobs))
        return Simulation([memory for memories in self.memories for memory in memories], self.account.progress)

    async def _work_off(self, jobs: Sequence[_Job]) -> None:
        """Do the jobs. It returns nothing: ``asyncio.run`` renders a task's result as text when it restores Ctrl-C."""
        waiting, waves = iter(jobs), self.account.waves
        workers = min(self.simulator.concurrency, len(jobs)) if waves is None else len(jobs)
        try:
            self.cast.chatbot.run_init()
            self.cast.userbot.run_init()
            async with asyncio.TaskGroup() as group:
                if waves is not None:
                    waves.alongside(workers)
                    group.create_task(self._send(waves))
                for _ in range(workers):
                    group.create_task(self._work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            if self.account.journal is not None:
                self.account.journal.close()
            for model in self._models():
                await model.close()
        self._report(at_once=True)

    async def _work(self, waiting: Iterator[_Job]) -> None:
        for job in waiting:
            await job()
        if self.account.waves is not None:
            self.account.waves.alongside(-1)

    async def _send(self, waves: Waves) -> None:
        """Send the waves; at the end cancel what nobody asks for any more, unless the budget was what ended it."""
        await waves.run(self._tell_of_batches)
        if not self.account.progress.truncated:
            await waves.give_up()

    def _models(self) -> list[Model]:
        chatbot, userbot = self.cast.chatbot, self.cast.userbot
        found = [chatbot.model, chatbot.classifier, userbot.model, userbot.classifier, self.simulator.student]
        found.append(self.other_model)
        return list({id(model): model for model in found if model is not None}.values())

    async def simulate(self, number: int, scenario: Scenario) -> None:
        """Simulate a scenario, and its branches."""
        memory = await self._converse(scenario)
        self._finish(number, memory)
        if self.simulator.branches is not None and memory.status == "completed":
            await self.branch(number, memory, scenario, self.simulator.branches)

    async def _converse(self, scenario: Scenario) -> Memory:
        """Let the two talk, again where the user did something wrong and that is asked for.

        One ledger serves all tries, so that each has its own answers to the same questions, in this run and the next.
        """
        ledger = ConversationLedger(scenario.key, self.answers.of(scenario.key), self.account)
        for _ in range(1 + (_RETRIES if self.simulator.on_userbot_fault == "retry" else 0)):
            memory = await talk(self.cast, scenario, ledger, on_turn=self._report)
            memory.findings = userbot_findings(memory, scenario)
            if not memory.findings or memory.status == "truncated":
                break
        await self._judge(memory, ledger)
        return memory

    async def _judge(self, memory: Memory, ledger: ConversationLedger) -> None:
        """Drop a conversation for its user's faults where that is asked for, and ask the student about the others."""
        if memory.status != "completed":
            return
        if memory.findings and self.simulator.on_userbot_fault == "drop":
            memory.status, memory.error, memory.error_side = "failed", USERBOT_FAULT, "user"
            memory.error_message = f"the user's program: {', '.join(memory.findings)}"
        elif self.simulator.student is not None:
            try:
                await ask_student(memory, self.simulator.student, ledger)
            except Stopped:
                truncate(memory, ledger)
            except END_THE_SIMULATION:
                raise
            except ModelError as error:
                memory.status, memory.error, memory.error_side = "failed", type(error).__name__, STUDENT
                memory.error_message = str(error)

    async def branch(self, number: int, memory: Memory, scenario: Scenario, branches: Branches) -> None:
        """Make the continuations of a conversation."""
        self.other_model = branches.model
        ledgers = [
            BranchLedger(memory, point, which, branches, self.answers, self.account)
            for point in branch_points(memory, branches.at)
            for which in range(1, branches.n + 1)
        ]
        self.account.progress.total += len(ledgers)
        if self.account.waves is None:
            for ledger in ledgers:
                self._finish(number, await self._continue(scenario, ledger))
            return
        work = (self._continue(scenario, ledger) for ledger in ledgers)
        for made in await side_by_side(work, self.account.waves.alongside):
            self._finish(number, made)

    async def _continue(self, scenario: Scenario, ledger: BranchLedger) -> Memory:
        made = await talk(self.cast, scenario, ledger, on_turn=self._report)
        made.branch = ledger.name
        made.findings = userbot_findings(made, scenario)
        await self._judge(made, ledger)
        return made

    def _finish(self, number: int, memory: Memory) -> None:
        progress = self.account.progress
        self.memories[number].append(memory)
        progress.finished += 1
        progress.failed += memory.status == "failed"
        progress.truncated += memory.status == "truncated"
        progress.faults += bool(memory.findings)
        self._report()

    def _tell_of_batches(self, text: str) -> None:
        self.account.progress.batches = text
        self._report()

    def _report(self, *, at_once: bool = False) -> None:
        if self.on_progress is None and not at_once:
            return
        now = time.monotonic()
        if at_once or now - self.reported >= _REPORT_EVERY:
            self.reported = now
            self.account.progress.seconds = now - self.started
            if self.on_progress is not None:
                self.on_progress(self.account.progress)
