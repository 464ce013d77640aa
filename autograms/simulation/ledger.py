"""The ledger of a simulation: which answers are there already, and what is paid.

An answer is reused where the same conversation asks the same model the same thing, for the n-th time as the n-th
time before; a step's result where it runs the same function on the same arguments. Everything that is paid goes to
the journal before the program sees it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import types
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson

from autograms.conversation.journal import Journal
from autograms.conversation.record import Call, Memory
from autograms.conversation.tool_calls import TOOL_CALLS, answer_message
from autograms.errors import OutputError, ProgramError, SettingsError
from autograms.models.base import Model, Reply, Request
from autograms.primitives.tools import ToolRun
from autograms.program.context import Context
from autograms.program.driver import ask_model, embed_texts, plain, run_step
from autograms.simulation.budget import Budget, Purse
from autograms.simulation.in_flight import batches_of
from autograms.simulation.waves import Place, Waves

__all__ = ["Account", "Answers", "ConversationLedger", "Progress", "Stopped", "cache_key", "entry_of"]


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


class Stopped(BaseException):
    """Ends a conversation where it stands. Not an ``Exception``, so that no program swallows it."""


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


class Recovered(Reply):
    """An answer that this simulation has paid for already, in a process that was lost then."""

    __slots__ = ()


class Answers:
    """Answers that are there already, by conversation and request.

    Args:
        previous: Memories of an earlier simulation.
        journal: Entries of the journal of a simulation that did not finish.
    """

    def __init__(self, previous: Iterable[Memory] = (), journal: Iterable[dict[str, Any]] = ()) -> None:
        self._answers: dict[str, dict[str, list[Reply]]] = {}
        for memory in previous:
            for call in memory.calls:
                if call.request is not None and call.output is not None:
                    key = cache_key(memory.scenario, memory.branch)
                    self._add(self._answers, key, call.request, _reply_of(call))
        journaled: dict[tuple[str, str], dict[int, Reply]] = {}
        for scenario, request, number, reply in _entries(journal):
            numbered = journaled.setdefault((scenario, request), {})
            numbered.setdefault(len(numbered) if number is None else number, reply)
        for (scenario, request), numbered in journaled.items():
            known = self._answers.setdefault(scenario, {}).setdefault(request, [])
            if 0 in numbered and len(numbered) > len(known):
                known.clear()
            known += [numbered[number] for number in sorted(numbered) if number >= len(known)]

    @staticmethod
    def _add(table: dict[str, dict[str, list[Reply]]], scenario: str, request: str, reply: Reply) -> None:
        table.setdefault(scenario, {}).setdefault(request, []).append(reply)

    def of(self, scenario: str) -> dict[str, list[Reply]]:
        """Return a conversation's answers by request."""
        return self._answers.get(scenario, {})

    def part(self, scenarios: Iterable[str]) -> Answers:
        """Return the answers of some scenarios, their branches' among them."""
        wanted, part = set(scenarios), Answers()
        for name, answers in self._answers.items():
            if any(key in wanted for key in itertools.accumulate(name.split("/"), cache_key)):
                part._answers[name] = answers
        return part

    def recover(self, journal: Iterable[dict[str, Any]]) -> None:
        """Add the answers that this simulation paid for in a process that was lost, behind those that were there."""
        for scenario, request, number, reply in sorted(_entries(journal, Recovered), key=lambda entry: entry[2] or 0):
            known = self._answers.setdefault(scenario, {}).setdefault(request, [])
            if number is None or number >= len(known):
                known.append(reply)

    def __iter__(self) -> Iterator[tuple[str, str, list[Reply]]]:
        """Yield each conversation's answers to each request."""
        for scenario, requests in self._answers.items():
            for request, replies in requests.items():
                yield scenario, request, replies


class ConversationLedger:
    """Answers one conversation's calls from what is there, and pays for the rest.

    Args:
        scenario: Key of the scenario.
        answers: The conversation's answers by request.
        account: What the simulation's conversations share.

    Attributes:
        stopped: Why the conversation was stopped, ``None`` where it was not.
    """

    def __init__(self, scenario: str, answers: dict[str, list[Reply]], account: Account) -> None:
        self.scenario = scenario
        self.account = account
        self.stopped: str | None = None
        self._answers = answers
        self._asked: dict[str, int] = {}

    async def complete(self, context: Context, call: Call, request: Request) -> Reply:
        """Answer a request."""
        model = context.classifier if context.classifier is not None and call.kind == "choice" else context.model
        name = request.model or model.name
        key = _request_key(context.side, request, name)
        reply = self._known(key, call)
        number = self._asked.get(key, 0) - 1
        if reply is None:
            if self.account.waves is not None:
                request.later = self._place(self.account.waves, key)
            try:
                reply = await self._ask(context, call, request, name)
            except OutputError as error:
                if error.spent is not None:
                    self.account.count(error.spent)
                raise
            self.account.pay(self.scenario, key, number, reply)
        return reply

    def enter(self, context: Context) -> None:
        """Take note of a program's live state before one of its turns."""

    async def ask_beside(self, call: Call, request: Request, model: Model) -> Reply:
        """Answer a request that no program makes.

        Raises:
            ModelError: Where no answer was had.
        """
        key = _request_key(call.side, request, model.name)
        reply = self._known(key, call)
        number = self._asked.get(key, 0) - 1
        if reply is None:
            if self.account.waves is not None:
                request.later = self._place(self.account.waves, key)
            reply = await self._within_budget(request, model.name, model.complete(request))
            self.account.pay(self.scenario, key, number, reply)
        return reply

    async def embed(self, context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
        """Embed texts."""
        key = _key(context.side, "embed", model, texts)
        reply = self._known(key, call)
        number = self._asked.get(key, 0) - 1
        if reply is None:
            vectors = await self._embed(context, call, texts, model)
            reply = Reply(orjson.dumps(vectors).decode(), model)
            self.account.pay(self.scenario, key, number, reply)
        return orjson.loads(reply.text)

    async def step(self, context: Context, call: Call, function: Callable[[], Any]) -> Any:
        """Run a step's function, or return what it returned in an earlier run."""
        key = _step_key(context.side, function, self.account.data)
        if key is None:
            return await self._step(context, call, function)
        reply = self._known(key, call, paid=False)
        number = self._asked.get(key, 0) - 1
        if reply is None:
            result = await self._step(context, call, function)
            reply = Reply(plain(result, "the result of step()"), "")
            self.account.keep(self.scenario, key, number, reply)
        return json.loads(reply.text)

    def alongside(self, more: int) -> None:
        """Take note that so many more, or fewer, programs of the conversation run at the same time."""
        if self.account.waves is not None:
            self.account.waves.alongside(more)

    def _place(self, waves: Waves, key: str) -> Place:
        return waves.place(f"{self.scenario}/{key}/{self._asked[key]}")

    async def _ask(self, context: Context, call: Call, request: Request, model: str) -> Reply:
        if self.account.purse is None:
            return await ask_model(context, call, request)
        return await self._within_budget(request, model, ask_model(context, call, request))

    async def _within_budget(self, request: Request, model: str, answer: Coroutine[Any, Any, Reply]) -> Reply:
        purse = self.account.purse
        if purse is None:
            return await answer
        reserved = reply = None
        try:
            reserved = purse.reserve(request, model)
            if reserved is None:
                self.stop(f"the budget of {purse.budget} is spent; raise it and simulate again, what is there is kept")
            reply = await answer
        except OutputError as error:
            reply = error.spent
            raise
        finally:
            answer.close()
            if reserved is not None:
                purse.settle(reserved, reply)
        return reply

    async def _embed(self, context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
        return await embed_texts(context, call, texts, model)

    async def _step(self, context: Context, call: Call, function: Callable[[], Any]) -> Any:
        return await run_step(context, call, function)

    def stop(self, reason: str) -> NoReturn:
        """End the conversation where it stands.

        Raises:
            Stopped: Always.
        """
        self.stopped = reason
        raise Stopped

    def _known(self, key: str, call: Call, *, paid: bool = True) -> Reply | None:
        call.request = key
        number = self._asked.get(key, 0)
        self._asked[key] = number + 1
        known = self._answers.get(key)
        if known is None or number >= len(known):
            return None
        reply = known[number]
        if not isinstance(reply, Recovered):
            call.reused = True
            self.account.progress.reused += paid
        elif paid:
            self.account.count(reply)
        return reply


def entry_of(scenario: str, key: str, number: int, reply: Reply) -> dict[str, Any]:
    """Return an answer as a journal's entry."""
    beside = {} if reply.tool_calls is None else {"tool_calls": reply.tool_calls}
    return {
        "scenario": scenario,
        "request": key,
        "number": number,
        "text": reply.text,
        "model": reply.model,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
        "cost_usd": reply.cost_usd,
        "probabilities": reply.probabilities,
        **beside,
    }


def cache_key(scenario: str, branch: str | None) -> str:
    """Return the name under which a conversation's answers are kept."""
    return scenario if branch is None else f"{scenario}/{branch}"


def _request_key(side: str, request: Request, model: str) -> str:
    return _key(side, request.kind, request.messages, request.choices, request.schema, model, request.params)


def _step_key(side: str, function: Callable[[], Any], data: str = "") -> str | None:
    """Hash what a step runs: the function's code, defaults and enclosed values, its arguments, and the data files.

    Returns:
        ``None`` where something that the result depends on is no plain data: such a step always runs.
    """
    called: Any = function
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    if isinstance(function, ToolRun):
        called, args = function.function, (function.arguments,)
    elif isinstance(function, functools.partial):
        called, args, keywords = function.func, function.args, function.keywords
    owner = getattr(called, "__self__", None)
    if owner is not None and not isinstance(owner, (types.ModuleType, type)):
        return None
    code = getattr(called, "__code__", None)
    name = [getattr(called, "__module__", None), getattr(called, "__qualname__", None)]
    if code is None and name[1] is None:
        return None
    try:
        enclosed = [cell.cell_contents for cell in getattr(called, "__closure__", None) or ()]
        held = [getattr(called, "__defaults__", None), getattr(called, "__kwdefaults__", None), enclosed]
        plain([held, args, keywords], "what the step holds")
    except (ProgramError, ValueError):
        return None
    return _key(side, "step", name, _code(code), held, args, keywords, *([data] if data else []))


def _code(code: types.CodeType | None) -> Any:
    if code is None:
        return None
    consts = [_code(c) if isinstance(c, types.CodeType) else [type(c).__name__, repr(c)] for c in code.co_consts]
    return [code.co_code.hex(), code.co_names, consts]


def _key(*parts: Any) -> str:
    return hashlib.blake2b(
        orjson.dumps(parts, default=repr, option=orjson.OPT_NON_STR_KEYS), digest_size=12
    ).hexdigest()


def _reply_of(call: Call) -> Reply:
    output, calls, kind = call.output or "", None, call.kind
    if call.primitive == "inner" and call.model is not None:
        # A model call of a program inside the program: the journal holds its answer as JSON.
        answer = orjson.loads(output)
        output, kind = (answer, "text") if isinstance(answer, str) else (output, TOOL_CALLS)
    if kind == TOOL_CALLS:
        message = answer_message(kind, output)
        output, calls = message["content"] or "", message["tool_calls"]
    probabilities = orjson.loads(output or "null") if kind == "logits" else None
    return Reply(
        output, call.model or "", call.input_tokens, call.output_tokens, call.cost_usd, probabilities, 1, calls
    )


def _entries(
    journal: Iterable[dict[str, Any]], kind: type[Reply] = Reply
) -> Iterator[tuple[str, str, int | None, Reply]]:
    for entry in journal:
        try:
            scenario, request, number = entry.pop("scenario"), entry.pop("request"), entry.pop("number", None)
            yield scenario, request, number, kind(**entry)
        except (KeyError, TypeError):
            continue
