"""What a conversation will ask behind the point where its answers end, judged by conversations that were there before.

What does not belong here: finding that point, and saying why a conversation is stale (``plan``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import orjson

from autograms.conversation.failures import Failing
from autograms.conversation.record import STUDENT, Call, Memory
from autograms.conversation.tool_calls import TOOL
from autograms.models.base import Reply, Request
from autograms.models.offline import OfflineModel
from autograms.program.context import Context
from autograms.simulation.account import Account, Progress
from autograms.simulation.branching import scenario_of
from autograms.simulation.ledger import ConversationLedger
from autograms.simulation.scenarios import Scenario
from autograms.simulation.talk import Cast, talk

__all__ = ["Expected", "Forecast", "asked", "expected_of"]

_SAMPLE = 50
"""Earlier conversations that speak for one that was never simulated."""
_REHEARSED = 8
"""Conversations that are rehearsed where there are no earlier ones."""
_CHARACTERS_PER_TOKEN = 4
_WRITTEN = 150
"""Tokens of an answer in free text, where no endpoint ever counted one."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that is expected.

    Attributes:
        side: ``chatbot`` or ``user``.
        model: ``provider/model`` where it is not its side's.
        read: Prompt tokens.
        written: Completion tokens.
        key: Hash of the request, empty where it is not known.
    """

    side: str
    model: str | None
    read: int
    written: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What an earlier conversation took.

    Attributes:
        calls: Its calls.
        turns: The chatbot's turns, as many as its scenario gave it; ``None`` where it ended before, by itself.
    """

    calls: list[Expected]
    turns: int | None

    def behind(self, turns: int, reused: int) -> Iterator[tuple[Expected, float]]:
        """Yield what a conversation of so many turns takes behind its first answers, each call with how many of it."""
        ratio = turns / self.turns if self.turns else 1.0
        left = self.calls[reused:] or self.calls[-1:]
        if ratio > 1:
            yield from ((call, 1.0) for call in left)
            yield from ((call, ratio - 1) for call in self.calls)
        else:
            yield from ((call, ratio) for call in left)


class Forecast:
    """Expects of conversations what they, or others, took before.

    Args:
        cast: Who talks; asked for a rehearsal where nothing is known.
        previous: Memories of earlier simulations.
        student: Name of the student's model, where it is asked too.

    Attributes:
        rehearsed: How many conversations were rehearsed with the embedded model, where nothing else was known.
        failing: Those of them that failed.
    """

    def __init__(self, cast: Cast, previous: Iterable[Memory], student: str | None = None) -> None:
        self.rehearsed = 0
        self.failing: list[Failing] = []
        self._cast = cast
        self._student = student
        self._known = {memory.scenario: memory for memory in previous if memory.status == "completed"}
        self._sample = [self._taken(memory) for memory, _ in zip(self._known.values(), range(_SAMPLE), strict=False)]

    async def prepare(self, scenarios: Sequence[Scenario]) -> None:
        """Rehearse some of the scenarios where there are no earlier conversations to judge by."""
        if self._sample or not scenarios:
            return
        for scenario in scenarios[:: max(1, len(scenarios) // _REHEARSED)][:_REHEARSED]:
            memory = await talk(self._cast, scenario, _Rehearsal(scenario.key, {}, Account(Progress())))
            self.rehearsed += 1
            if memory.status == "failed":
                Failing.note(memory, self.failing)
            self._sample.append(self._taken(memory))

    def behind(self, scenario: Scenario, used: Counter[str]) -> Iterator[tuple[Expected, float]]:
        """Yield the calls that a conversation is expected to pay for, each with how many of it.

        Args:
            scenario: The scenario; what others took is scaled to its turns.
            used: Requests that were answered by what is there.
        """
        if scenario.key in self._known:
            calls, left = self._expected(self._known[scenario.key]), used.copy()
            yield from ((call, 1.0) for call in _without(calls, left) or calls[-1:])
            return
        reused = used.total()
        for taken in self._sample:
            yield from ((call, count / len(self._sample)) for call, count in taken.behind(_turns(scenario), reused))

    def _taken(self, memory: Memory) -> _Taken:
        turns = _turns(scenario_of(memory)) if memory.scenario_data else None
        had = sum(turn.role == "user" for turn in memory.turns)
        return _Taken(self._expected(memory), turns if turns == had else None)

    def _expected(self, memory: Memory) -> list[Expected]:
        calls = asked(memory)
        expected = [_from_call(memory, call) for call in calls]
        if self._student is not None and not any(call.model == self._student for call in calls if call.side == STUDENT):
            supervised = [call for call in memory.calls if call.supervised and call.trains]
            expected += [replace(_from_call(memory, call), side=STUDENT, model=self._student) for call in supervised]
        return expected


def _turns(scenario: Scenario) -> int:
    """Return the chatbot's turns: one for each of the user's, and the first where the user does not begin."""
    return scenario.num_turns + (not scenario.user_goes_first)


def asked(memory: Memory, side: str | None = None) -> list[Call]:
    """Return a conversation's calls that a model answered."""
    return [
        call
        for call in memory.calls
        if call.request is not None and call.model and call.output is not None and side in (None, call.side)
    ]


def _without(calls: Sequence[Expected], used: Counter[str]) -> list[Expected]:
    left = []
    for call in calls:
        if used[call.key] > 0:
            used[call.key] -= 1
        else:
            left.append(call)
    return left


def expected_of(request: Request, model: str) -> Expected:
    """Return what a request to the student is expected to take."""
    letters = sum(len(str(message.get("content"))) for message in request.messages)
    written = _WRITTEN if request.kind == "text" else _WRITTEN // 10
    return Expected(STUDENT, model, letters // _CHARACTERS_PER_TOKEN, written)


def _from_call(memory: Memory, call: Call) -> Expected:
    named = orjson.loads(call.params).get("model") if call.params else None
    model = call.model if call.side == STUDENT else named and f"openai/{named.removeprefix('openai/')}"
    read = (
        call.input_tokens
        or sum(len(str(message.get("content"))) for message in memory.prompt_messages(call.prompt))
        // _CHARACTERS_PER_TOKEN
    )
    written = call.output_tokens or len(call.output or "") // _CHARACTERS_PER_TOKEN
    return Expected(call.side, model, read, written, call.request or "")


class _Rehearsal(ConversationLedger):
    """Answers by the embedded model, in about as many tokens as a real one; takes no step."""

    _model = OfflineModel()

    async def _ask(self, context: Context, call: Call, request: Request, model: str) -> Reply:
        reply = await self._model.complete(request)
        read = sum(len(str(message.get("content"))) for message in request.messages) // _CHARACTERS_PER_TOKEN
        written = _WRITTEN if request.kind == "text" else len(reply.text) // _CHARACTERS_PER_TOKEN + 1
        return Reply(reply.text, model, read, written, 0.0, reply.probabilities, tool_calls=reply.tool_calls)

    async def _embed(self, context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
        return await self._model.embed(texts)

    async def _step(self, context: Context, call: Call, function: object) -> object:
        if call.primitive == TOOL:
            return "(rehearsed)"  # only the model reads it
        self.stop("a step")
