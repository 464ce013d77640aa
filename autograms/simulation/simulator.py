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
from typing import Any

import orjson

from autograms.autogram import Autogram
from autograms.conversation.garbage import collecting_seldom
from autograms.conversation.journal import Journal, read_journal
from autograms.conversation.record import Memory, Prompt
from autograms.errors import CredentialsError, ModelNameError, classify
from autograms.models.base import Model
from autograms.program.driver import drive
from autograms.simulation import plain_user
from autograms.simulation.ledger import Answers, ConversationLedger, Progress
from autograms.simulation.scenarios import Scenario

__all__ = ["Progress", "Simulation", "Simulator"]

_REPORT_EVERY = 0.1


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
    """

    def __init__(self, chatbot: Autogram, userbot: Autogram | None = None, *, concurrency: int = 64) -> None:
        self.chatbot = chatbot
        if userbot is None:
            userbot = Autogram(plain_user.chatbot, chatbot.config, chatbot.model, name="plain_user")
        userbot.side = "user"
        self.userbot = userbot
        self.concurrency = max(1, concurrency)

    def run(
        self,
        scenarios: Sequence[Scenario],
        *,
        journal: Path | None = None,
        previous: Iterable[Memory] = (),
        fresh: bool = False,
        fingerprint: str = "",
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
            on_progress: Called with the counts, ten times a second at the most, and at the end.
            chatbot_memory: A saved memory that each conversation's chatbot starts from.
            user_memory: A saved memory that each conversation's user starts from.

        Raises:
            CredentialsError: Where the endpoint wants a key.
            ModelNameError: Where there is no such model.
        """
        run = _Run(self, journal, previous, fresh, fingerprint, on_progress, chatbot_memory, user_memory)
        with collecting_seldom():
            asyncio.run(run.all(scenarios))
        return run.result()


class _Run:
    """One call of :meth:`Simulator.run`."""

    def __init__(
        self,
        simulator: Simulator,
        journal: Path | None,
        previous: Iterable[Memory],
        fresh: bool,
        fingerprint: str,
        on_progress: Callable[[Progress], None] | None,
        chatbot_memory: str | None,
        user_memory: str | None,
    ) -> None:
        self.chatbot, self.userbot = simulator.chatbot, simulator.userbot
        self.concurrency = simulator.concurrency
        self.fingerprint = fingerprint
        self.on_progress = on_progress
        self.starts = (chatbot_memory, user_memory)
        if fresh and journal is not None:
            journal.unlink(missing_ok=True)
        entries = read_journal(journal) if journal is not None else ()
        self.answers = Answers() if fresh else Answers(previous, entries)
        self.journal = Journal(journal) if journal is not None else None
        self.memories: list[Memory | None] = []
        self.progress = Progress()
        self.started = self.reported = time.monotonic()

    async def all(self, scenarios: Sequence[Scenario]) -> None:
        """Simulate every scenario, at most ``concurrency`` at once.

        It returns nothing: ``asyncio.run`` renders a task's whole result as text when it restores Ctrl-C.
        """
        self.memories = [None] * len(scenarios)
        self.progress.total = len(scenarios)
        waiting = iter(enumerate(scenarios))
        try:
            self.chatbot.run_init()
            self.userbot.run_init()
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, len(scenarios))):
                    group.create_task(self._work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            if self.journal is not None:
                self.journal.close()
            for model in self._models():
                await model.close()
        self._report(at_once=True)

    def result(self) -> Simulation:
        """Return what was made, in the scenarios' order."""
        return Simulation([memory for memory in self.memories if memory is not None], self.progress)

    def _models(self) -> list[Model]:
        found = [self.chatbot.model, self.chatbot.classifier, self.userbot.model, self.userbot.classifier]
        return list({id(model): model for model in found if model is not None}.values())

    async def _work(self, waiting: Iterator[tuple[int, Scenario]]) -> None:
        for number, scenario in waiting:
            self.memories[number] = await self._converse(scenario)
            self.progress.finished += 1
            self._report()

    async def _converse(self, scenario: Scenario) -> Memory:
        """Simulate one conversation and return its memory, failed or not."""
        chat = self._memory(self.chatbot, scenario, self.starts[0])
        user = self._memory(self.userbot, scenario, self.starts[1])
        ledger = ConversationLedger(scenario.key, self.answers.of(scenario.key), self.journal, self.progress)
        side = self.chatbot
        try:
            text: str | None = None
            first = scenario.user_goes_first
            for turn in range(scenario.num_turns + (not first)):
                if turn or first:
                    side = self.userbot
                    text = await self._turn(side, user, ledger, text, scenario.user_kwargs)
                    if text is None:
                        break
                side = self.chatbot
                text = await self._turn(side, chat, ledger, text, scenario.chatbot_kwargs)
                if text is None:
                    break
        except (CredentialsError, ModelNameError):
            raise
        except Exception as error:
            failure = classify(error, side.files)
            chat.status, chat.error, chat.error_message = "failed", failure.error, failure.message
            chat.error_place, chat.error_side = failure.place, side.side
            self.progress.failed += 1
        self.chatbot.release(chat)
        self.userbot.release(user)
        return _joined(chat, user)

    def _memory(self, autogram: Autogram, scenario: Scenario, start: str | None) -> Memory:
        memory = Memory(autogram=autogram.name) if start is None else autogram.deserialize(start)
        memory.scenario, memory.fingerprint, memory.seed = scenario.key, self.fingerprint, scenario.seed
        memory.scenario_data = orjson.dumps(scenario.to_dict()).decode()
        return memory

    async def _turn(
        self,
        autogram: Autogram,
        memory: Memory,
        ledger: ConversationLedger,
        text: str | None,
        kwargs: dict[str, Any],
    ) -> str | None:
        before = len(memory.calls)
        context = autogram.attach(memory, caller=ledger)
        try:
            effect = await drive(context, autogram.begin_turn(context, text, kwargs))
        finally:
            self.progress.calls += len(memory.calls) - before
        self._report()
        return autogram.end_turn(context, effect)

    def _report(self, *, at_once: bool = False) -> None:
        if self.on_progress is None and not at_once:
            return
        now = time.monotonic()
        if at_once or now - self.reported >= _REPORT_EVERY:
            self.reported = now
            self.progress.seconds = now - self.started
            if self.on_progress is not None:
                self.on_progress(self.progress)


def _joined(chat: Memory, user: Memory) -> Memory:
    """Append the user's calls to the chatbot's memory: one record holds the whole conversation."""
    if not user.calls:
        return chat
    messages = {message: index for index, message in enumerate(chat.messages)}
    moved = []
    for message in user.messages:
        if message not in messages:
            messages[message] = len(chat.messages)
            chat.messages.append(message)
        moved.append(messages[message])
    nodes, calls = len(chat.history), len(chat.calls)
    chat.history += [(parent + nodes if parent >= 0 else -1, moved[message]) for parent, message in user.history]
    for call in user.calls:
        prompt = call.prompt
        call.prompt = Prompt(
            moved[prompt.system] if prompt.system >= 0 else -1,
            prompt.first + nodes if prompt.first >= 0 else -1,
            prompt.last + nodes if prompt.last >= 0 else -1,
            moved[prompt.ask] if prompt.ask >= 0 else -1,
        )
        call.parent = None if call.parent is None else call.parent + calls
        chat.calls.append(call)
    return chat
