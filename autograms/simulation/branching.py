"""Branches: from a call of a recorded conversation on, other continuations that share everything before it.

The programs run again from the start against the record, which answers every question before the branch, so that
nothing before it is paid again. What does not belong here: which conversations are branched (``simulator``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from autograms.conversation.record import STUDENT, Call, Memory
from autograms.conversation.tool_calls import TOOL_CALLS
from autograms.errors import DivergenceError, RecordError, SettingsError
from autograms.models.base import Model, Reply, Request
from autograms.program.context import Context
from autograms.simulation.account import Account
from autograms.simulation.answers import Answers, cache_key
from autograms.simulation.ledger import ConversationLedger
from autograms.simulation.scenarios import Scenario

__all__ = ["BranchLedger", "Branches", "branch_points", "can_branch", "scenario_of"]

_TURN = "turn"


@dataclass(frozen=True, slots=True)
class Branches:
    """Which continuations are made of a conversation.

    Attributes:
        at: The call from which on they differ: a primitive, for its first call (``reply_instruction``), its second
            (``reply_instruction#2``), its last (``reply_instruction#-1``) or each (``reply_instruction#*``); or
            ``turn`` with the same numbers, for the first call of the chatbot's turn. Calls that a supervisor answered
            are no branch points.
        n: How many continuations at each branch point.
        model: A model that answers for the chatbot from there on; the same one with another seed where unset.
        answers: What the call answers in each continuation; the model is asked where there are none.
    """

    at: str
    n: int
    model: Model | None = None
    answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _read(self.at)
        if self.answers and len(self.answers) != self.n:
            raise SettingsError(f"branches: {len(self.answers)} answers for n = {self.n}; expected as many")

    def name(self, point: int, number: int) -> str:
        """Return the name of a continuation: the call's number, the continuation's, and who or what answers there."""
        how = f"@{self.model.name}" if self.model else f"={self.answers[number - 1]}" if self.answers else ""
        return f"{point}.{number}{how}"


def branch_points(memory: Memory, at: str) -> list[int]:
    """Return the numbers of the calls at which a conversation is branched.

    Raises:
        SettingsError: Where ``at`` has another form.
    """
    name, number = _read(at)
    asked = [index for index, call in enumerate(memory.calls) if can_branch(call)]
    if name == _TURN:
        starts = [turn.after for turn in memory.turns if turn.role == "user"]
        firsts = [next((i for i in asked if i >= start), None) for start in starts]
        found = [index for index in dict.fromkeys(firsts) if index is not None]
    else:
        found = [index for index in asked if memory.calls[index].primitive == name]
    if number is None:
        return found
    place = number - 1 if number > 0 else len(found) + number
    return [found[place]] if 0 <= place < len(found) else []


def scenario_of(memory: Memory) -> Scenario:
    """Return the scenario that a memory was simulated with.

    Raises:
        RecordError: Where it was recorded outside a simulation.
    """
    if memory.scenario_data is None:
        raise RecordError(
            f"a conversation of {memory.autogram} was not simulated, so that it cannot be branched; expected a memory "
            "that a simulation made"
        )
    return Scenario(memory.scenario, **json.loads(memory.scenario_data))


class BranchLedger(ConversationLedger):
    """Answers from a record up to the branch, and from there on as any ledger does.

    Args:
        memory: The conversation, recorded in a simulation.
        point: The call from which on it differs.
        number: Which continuation, from 1.
        branches: How it differs.
        known: Answers of earlier simulations, this continuation's among them.
        account: What the simulation's conversations share.

    Attributes:
        name: What the continuation's memory calls its branch.
    """

    def __init__(
        self, memory: Memory, point: int, number: int, branches: Branches, known: Answers, account: Account
    ) -> None:
        self.name = branches.name(point, number)
        key = cache_key(memory.scenario, self.name)
        super().__init__(key, known.of(key), account)
        self._branches = branches
        self._number = number
        self._before = Answers([memory]).of(cache_key(memory.scenario, memory.branch))
        self._point = _occurrence(memory, point)
        self._seen: dict[str, int] = {}
        self._branched = False
        self._at_the_point = False
        self._contexts: list[Context] = []

    def enter(self, context: Context) -> None:
        """Remember a program's live state, to vary it from the branch on."""
        if context not in self._contexts:
            self._contexts.append(context)
            if self._branched:
                self._vary(context)

    def _known(self, key: str, call: Call, *, paid: bool = True) -> Reply | None:
        self._at_the_point = False
        number = self._seen.get(key, 0)
        known = self._before.get(key, [])
        if not self._branched and (key, number) == self._point:
            self._branched = self._at_the_point = True
            for context in self._contexts:
                self._vary(context)
        if self._branched and (call.side != STUDENT or number >= len(known)):
            return super()._known(key, call, paid=paid)
        self._seen[key] = number + 1
        if number >= len(known):
            raise DivergenceError(
                "the program, a model or its endpoint has changed since the conversation was recorded: "
                f"{call.primitive} at {call.place} asks what was not asked before the branch; simulate it again first"
            )
        call.request, call.reused = key, True
        self.account.progress.reused += paid
        return known[number]

    async def _ask(self, context: Context, call: Call, request: Request, model: str) -> Reply:
        if not self._at_the_point:
            return await super()._ask(context, call, request, model)
        if self._branches.answers:
            return Reply(self._branches.answers[self._number - 1], "given", cost_usd=0.0)
        if self._branches.model is None:
            request.params = {"seed": self._number, **request.params}
        return await super()._ask(context, call, request, model)

    def _vary(self, context: Context) -> None:
        """Let the program draw other random numbers, and another model answer, from here on."""
        context.random.seed(f"{context.memory.seed}/{context.side}/branch {self.name}")
        if self._branches.model is not None and context.side == "chatbot":
            context.model, context.classifier = self._branches.model, None


def can_branch(call: Call) -> bool:
    """Whether a call may go another way: one of the chatbot's own that a model answered."""
    return (
        call.side == "chatbot"
        and call.parent is None
        and not call.supervised
        and call.request is not None
        and call.output is not None
        and call.kind in ("text", "choice", "object", TOOL_CALLS)
    )


def _occurrence(memory: Memory, point: int) -> tuple[str, int]:
    key = memory.calls[point].request or ""
    return key, sum(call.request == key for call in memory.calls[:point])


def _read(at: str) -> tuple[str, int | None]:
    name, _, number = at.partition("#")
    if number == "*":
        return name, None
    try:
        return name, int(number or 1) or _refuse(at)
    except ValueError:
        return _refuse(at)


def _refuse(at: str) -> Any:
    raise SettingsError(
        f"branches: at = {at!r}; expected a primitive or 'turn', and which of its calls: 'reply_instruction', "
        "'reply_instruction#2', 'reply_instruction#-1', 'turn#3', 'reply_instruction#*'"
    )
