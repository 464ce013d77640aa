"""What a simulation would take, before anything is spent: stale conversations, calls, tokens and money, and why.

Each conversation runs again against the answers that are there, and stops at the first one that is not; what lies
behind is a forecast. No model is asked, and no step is taken. What does not belong here: spending (``budget``).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from autograms.autogram import Autogram
from autograms.conversation.failures import Failing
from autograms.conversation.garbage import collecting_seldom
from autograms.conversation.journal import read_journal
from autograms.conversation.markdown import cell
from autograms.conversation.record import STUDENT, Call, Memory
from autograms.errors import BudgetError, ModelError
from autograms.models.base import Reply, Request
from autograms.models.prices import Price, cost_text, load_prices, price_of
from autograms.program.context import Context
from autograms.simulation.account import Account, Progress
from autograms.simulation.answers import Answers, cache_key
from autograms.simulation.branching import branch_points
from autograms.simulation.budget import Budget
from autograms.simulation.forecast import Expected, Forecast, asked, expected_of
from autograms.simulation.ledger import ConversationLedger
from autograms.simulation.scenarios import Scenario
from autograms.simulation.simulator import USERBOT_FAULT, Simulator
from autograms.simulation.student import ask_student
from autograms.simulation.talk import Cast, talk

__all__ = ["Plan", "ensure_within", "plan"]


@dataclass(slots=True)
class Plan:
    """What a simulation would take.

    Attributes:
        name: The autogram.
        conversations: Conversations to simulate.
        stale: Those that need at least one answer that is not there.
        changed: Those that come out differently by the answers that are there, and cost nothing.
        failures: Those that fail by the answers that are there, whatever is asked.
        reused: Answers that are there.
        calls: Answers to pay for, estimated behind the first of each conversation.
        input_tokens: Their prompt tokens, estimated.
        output_tokens: Their completion tokens, estimated.
        cost_usd: Their price, estimated, in US dollars.
        unpriced: Those of models without a known price.
        reasons: Stale and changed conversations by reason: ``never simulated``, ``scenario`` (it is new or changed),
            ``autogram``, ``userbot``, ``model``, ``settings``, ``not finished``, ``asked for again``, and where only
            they are missing ``student`` or ``branches``.
        models: Answers to pay for, by model.
        prices: Date of the price table.
        rehearsed: Conversations that were rehearsed with the embedded model for the estimate.
        rehearsal_failures: Those of them that failed otherwise than in ``failures``.
        batch: Whether the calls are to go through the batch API, at its price.
    """

    name: str
    conversations: int = 0
    stale: int = 0
    changed: int = 0
    failures: list[Failing] = field(default_factory=list)
    reused: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    prices: str = ""
    rehearsed: int = 0
    rehearsal_failures: list[Failing] = field(default_factory=list)
    batch: bool = False

    @property
    def failing(self) -> int:
        """How many conversations fail by the answers that are there."""
        return sum(each.count for each in self.failures)

    def rows(self, *, quoting: bool = True) -> list[tuple[str, str]]:
        """Return the plan's lines: what, and how much.

        Args:
            quoting: Whether exceptions' messages are part of it, which may quote what a program was told.
        """
        prices = f"{'batch ' if self.batch else ''}prices of {self.prices}"
        cost = f"{cost_text(self.cost_usd, self.unpriced)} by the {prices}"
        if self.unpriced:
            cost += "; AUTOGRAMS_PRICES names a file of your own"
        return [
            ("conversations", str(self.conversations)),
            ("stale", self._stale()),
            *(("would fail", f"{each.count}: {each.told(quoting=quoting)}") for each in self.failures),
            ("because of", _listed(self.reasons) or "nothing changed"),
            ("calls reused", str(self.reused)),
            ("calls to pay", f"about {self.calls} ({_listed(self.models)})" if self.calls else "0"),
            ("tokens", f"about {self.input_tokens} read, {self.output_tokens} written"),
            ("cost", cost),
            ("judged by", "a rehearsal with the embedded model" if self.rehearsed else "earlier conversations"),
            *(
                (f"failed of {self.rehearsed} rehearsed", f"{each.count}: {each.told(quoting=quoting)}")
                for each in self.rehearsal_failures
            ),
        ]

    def _stale(self) -> str:
        if not self.changed:
            return str(self.stale)
        return f"{self.stale + self.changed}, {f'{self.changed} of them' if self.stale else 'all'} at no cost"

    def as_markdown(self) -> str:
        """Return the plan as a table."""
        return "\n".join(
            [
                f"| {cell(self.name)} | plan |",
                "|---|---|",
                *(f"| {cell(what)} | {cell(much)} |" for what, much in self.rows(quoting=False)),
            ]
        )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def plan(
    simulator: Simulator,
    scenarios: Sequence[Scenario],
    *,
    journal: Path | None = None,
    previous: Iterable[Memory] = (),
    fresh: bool = False,
    chatbot_memory: str | None = None,
    user_memory: str | None = None,
) -> Plan:
    """Return what :meth:`Simulator.run` with the same arguments would take.

    Args:
        simulator: The programs; :func:`unasked_model` gives models that need neither key nor endpoint.
        scenarios: The conversations to simulate.
        journal: As in :meth:`Simulator.run`.
        previous: As in :meth:`Simulator.run`.
        fresh: As in :meth:`Simulator.run`.
        chatbot_memory: As in :meth:`Simulator.run`.
        user_memory: As in :meth:`Simulator.run`.
    """
    cast = Cast(simulator.chatbot, simulator.userbot, chatbot_memory, user_memory)
    planner = _Planner(simulator, cast, list(previous), read_journal(journal) if journal is not None else (), fresh)
    with collecting_seldom():
        asyncio.run(planner.all(scenarios))
    return planner.plan


def ensure_within(plan: Plan, budget: Budget, *, remedy: str = 'over_budget = "spend" in autograms.toml') -> None:
    """Refuse a simulation whose estimate is above its budget.

    Args:
        plan: What it would take.
        budget: What may be spent.
        remedy: What lets it go on until the budget is spent, for the message.

    Raises:
        BudgetError: Where it is, or where dollars are limited and a model has no price.
    """
    if budget.usd is not None and plan.unpriced:
        model = next(name for name in plan.models if _price(name) is None)
        raise BudgetError(
            f"{plan.name}: budget_usd is set, and the price of {model} is not known; add it to the file that "
            "AUTOGRAMS_PRICES names, or set budget_calls instead"
        )
    over_usd = budget.usd is not None and plan.cost_usd > budget.usd
    over_calls = budget.calls is not None and plan.calls > budget.calls
    if over_usd or over_calls:
        raise BudgetError(
            f"{plan.name}: about {plan.calls} calls ({cost_text(plan.cost_usd, plan.unpriced)}) are to be paid, above "
            f"the budget of {budget}; nothing was spent. Raise the budget, simulate less, or go on until it is spent: "
            f"{remedy}"
        )


# ------------------------------------------------------------------------------------------------------------ planning


class _PlanLedger(ConversationLedger):
    """Answers from what is there, and stops the conversation at the first question without an answer."""

    def __init__(self, scenario: str, answers: dict[str, list[Reply]], data: str) -> None:
        super().__init__(scenario, answers, Account(Progress(), data=data))
        self.used: Counter[str] = Counter()
        self.unknown: tuple[str, Request | None, str] | None = None
        self.beside: list[Expected] = []

    def _known(self, key: str, call: Call, *, paid: bool = True) -> Reply | None:
        reply = super()._known(key, call, paid=paid)
        if reply is not None and paid:
            self.used[key] += 1
        return reply

    async def _ask(self, context: Context, call: Call, request: Request, model: str) -> Reply:
        self._end(context, request, model)

    async def _embed(self, context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
        self._end(context, None, model)

    async def _step(self, context: Context, call: Call, function: Callable[[], Any]) -> Any:
        self._end(context, None, "")

    async def _within_budget(self, request: Request, model: str, answer: Coroutine[Any, Any, Reply]) -> Reply:
        answer.close()
        self.beside.append(expected_of(request, model))
        return Reply("", model)

    def _end(self, context: Context, request: Request | None, model: str) -> NoReturn:
        self.unknown = self.unknown or (context.side, request, model)
        self.stop("it is planned only")


class _Planner:
    def __init__(
        self, simulator: Simulator, cast: Cast, previous: list[Memory], journal: Iterable[dict[str, Any]], fresh: bool
    ) -> None:
        self.cast = cast
        self.student, self.branches = simulator.student, simulator.branches
        self.fresh, self.data = fresh, simulator.data
        self.before = {memory.scenario: memory for memory in previous if memory.branch is None}
        self.answers = Answers() if fresh else Answers(previous, journal)
        self.forecast = Forecast(cast, self.before.values(), self.student.name if self.student else None)
        self.plan = Plan(cast.chatbot.name, prices=load_prices().date, batch=simulator.batch)
        self.tokens = [0.0, 0.0]
        self.reasons: Counter[str] = Counter()
        self.models: defaultdict[str, float] = defaultdict(float)

    async def all(self, scenarios: Sequence[Scenario]) -> None:
        """Plan every scenario."""
        ready = _starts(self.cast.chatbot) and _starts(self.cast.userbot)
        if ready:
            await self.forecast.prepare(scenarios)
        stale = 0
        for scenario in scenarios:
            ledger = _PlanLedger(scenario.key, self.answers.of(scenario.key), self.data)
            memory = await talk(self.cast, scenario, ledger) if ready else Memory()
            whole = ready and ledger.unknown is None
            if whole and self.student is not None and memory.status == "completed":
                await ask_student(memory, self.student, ledger)
            self.plan.reused += ledger.account.progress.reused
            reason = self._reason(scenario, ledger, memory)
            if not whole:
                self._expect(self.forecast.behind(scenario, ledger.used))
            self._expect((call, 1.0) for call in ledger.beside)
            missing = self._expect_branches(scenario, memory if whole else self.before.get(scenario.key), whole)
            if not whole or ledger.beside or missing:
                stale += 1
            elif memory.status == "failed":
                Failing.note(memory, self.plan.failures)
                if not _differs(memory, self.before.get(scenario.key)):
                    continue
            elif _differs(memory, self.before.get(scenario.key)):
                self.plan.changed += 1
            else:
                continue
            if whole and not _differs(memory, self.before.get(scenario.key)):
                reason = "student" if ledger.beside else "branches"
            self.reasons[reason] += 1
        self._total(len(scenarios), stale)

    def _expect(self, calls: Iterable[tuple[Expected, float]]) -> None:
        for call, count in calls:
            player = self.cast.chatbot if call.side == "chatbot" else self.cast.userbot
            model = call.model or player.model.name
            self.models[model] += count
            self.tokens[0] += call.read * count
            self.tokens[1] += call.written * count
            price = _price(model, batch=self.plan.batch)
            if price is not None:
                self.plan.cost_usd += price.cost(call.read, call.written) * count

    def _expect_branches(self, scenario: Scenario, shape: Memory | None, whole: bool) -> int:
        """Expect the continuations that are not there, and return how many they are.

        Args:
            scenario: The scenario.
            shape: The conversation, or what it was before.
            whole: Whether it is the conversation itself, so that continuations of it may be there.
        """
        if self.branches is None or (whole and shape is not None and shape.status != "completed"):
            return 0
        missing = 0
        for point in branch_points(shape, self.branches.at) if shape is not None else [0]:
            used = Counter(call.request for call in shape.calls[:point] if call.request) if shape is not None else None
            for number in range(1, self.branches.n + 1):
                if whole and self.answers.of(cache_key(scenario.key, self.branches.name(point, number))):
                    continue
                missing += 1
                self._expect(self.forecast.behind(scenario, used or Counter()))
        return missing

    def _total(self, conversations: int, stale: int) -> None:
        plan = self.plan
        plan.conversations, plan.stale = conversations, stale
        plan.calls = max(round(sum(self.models.values())), stale)
        plan.input_tokens, plan.output_tokens = round(self.tokens[0]), round(self.tokens[1])
        plan.models = {model: round(count) for model, count in sorted(self.models.items())}
        plan.unpriced = sum(count for model, count in plan.models.items() if _price(model) is None)
        plan.reasons = dict(self.reasons.most_common())
        sure = {(each.error, each.place) for each in plan.failures}
        plan.rehearsed = self.forecast.rehearsed
        plan.rehearsal_failures = [each for each in self.forecast.failing if (each.error, each.place) not in sure]

    def _reason(self, scenario: Scenario, ledger: _PlanLedger, memory: Memory) -> str:
        """Say why a conversation is stale, by the first thing that differs from last time."""
        before = self.before.get(scenario.key)
        if before is None:
            return "scenario" if self.before else "never simulated"
        if self.fresh:
            return "asked for again"
        other = _asked_otherwise(before, memory)
        if other:
            return other
        pairs = zip(before.turns, memory.turns, strict=False)
        said = next((new for old, new in pairs if (old.role, old.content) != (new.role, new.content)), None)
        side = ledger.unknown[0] if ledger.unknown is not None else "chatbot"
        if said is not None:
            side = "user" if said.role == "user" else "chatbot"
        elif ledger.unknown is not None and ledger.unknown[1] is not None:
            other = _changed_beside(before, *ledger.unknown)
            if other:
                return other
        return "userbot" if side == "user" else "autogram"


def _asked_otherwise(before: Memory, memory: Memory) -> str | None:
    """Say what differs at the first answered question that is another one than last time, where its words are not."""
    both = [[call for call in asked(each) if call.side != STUDENT] for each in (before, memory)]
    for old, new in zip(*both, strict=False):
        if (old.side, old.request) != (new.side, new.request):
            prompts = before.prompt_messages(old.prompt), memory.prompt_messages(new.prompt)
            same = (old.side, old.choices, prompts[0]) == (new.side, new.choices, prompts[1])
            return ("settings" if old.model == new.model else "model") if same else None
    return None


def _changed_beside(before: Memory, side: str, request: Request | None, model: str) -> str | None:
    """Say what differs where a question was asked last time already: the model, its settings, or the missing answer."""
    assert request is not None
    same = [
        call
        for call in asked(before, side)
        if call.choices == request.choices and before.prompt_messages(call.prompt) == request.messages
    ]
    if any(call.model == model for call in same):
        return "settings"
    if same:
        return "model"
    return "not finished" if before.status != "completed" else None


def _differs(memory: Memory, before: Memory | None) -> bool:
    if before is None:
        return True
    outputs, earlier = (
        [(call.primitive, call.output) for call in each.calls if call.side != STUDENT] for each in (memory, before)
    )
    status = "completed" if before.error == USERBOT_FAULT else before.status
    return (memory.transcript(), outputs, memory.status) != (before.transcript(), earlier, status)


def _starts(autogram: Autogram) -> bool:
    """Whether a program can be planned: one whose ``init_chatbot()`` asks a model cannot, and is paid for whole."""
    try:
        autogram.run_init()
    except ModelError:
        return False
    except Exception:  # each conversation meets it
        return True
    return True


def _price(model: str, *, batch: bool = False) -> Price | None:
    return price_of(model, batch=batch) or (None if model.startswith("openai/") else Price(0.0, 0.0))
