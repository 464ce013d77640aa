"""The ledger of a conversation: it answers from what is there, and pays for the rest.

An answer is reused where the same conversation asks the same model the same thing, for the n-th time as the n-th
time before; a step's result where it runs the same function on the same arguments. Everything that is paid goes to
the journal before the program sees it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import orjson

from autograms.conversation.record import Call
from autograms.errors import OutputError
from autograms.models.base import Model, Reply, Request, identity_of
from autograms.program.context import Context
from autograms.program.driver import ask_model, embed_texts, plain, run_step
from autograms.simulation.account import Account
from autograms.simulation.answers import Recovered, embed_key, request_key, step_key

__all__ = ["ConversationLedger", "Stopped"]


class Stopped(BaseException):
    """Ends a conversation where it stands. Not an ``Exception``, so that no program swallows it."""


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
        key = request_key(context.side, request, identity_of(model, name))

        async def ask() -> Reply:
            self._may_wait(request, key)
            return await self._ask(context, call, request, name)

        return await self._answer(key, call, ask)

    def enter(self, context: Context) -> None:
        """Take note of a program's live state before one of its turns."""

    async def ask_beside(self, call: Call, request: Request, model: Model) -> Reply:
        """Answer a request that no program makes.

        Raises:
            ModelError: Where no answer was had.
        """
        key = request_key(call.side, request, identity_of(model))

        async def ask() -> Reply:
            self._may_wait(request, key)
            return await self._within_budget(request, model.name, model.complete(request))

        return await self._answer(key, call, ask)

    async def embed(self, context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
        """Embed texts."""

        async def ask() -> Reply:
            return Reply(orjson.dumps(await self._embed(context, call, texts, model)).decode(), model)

        reply = await self._answer(embed_key(context.side, identity_of(context.model, model), texts), call, ask)
        return orjson.loads(reply.text)

    async def step(self, context: Context, call: Call, function: Callable[[], Any]) -> Any:
        """Run a step's function, or return what it returned in an earlier run."""

        async def run() -> Reply:
            return Reply(plain(await self._step(context, call, function), "the result of step()"), "")

        key = step_key(context.side, function, self.account.data)
        if key is None:
            return await self._step(context, call, function)
        return json.loads((await self._answer(key, call, run, paid=False)).text)

    def alongside(self, more: int) -> None:
        """Take note that so many more, or fewer, programs of the conversation run at the same time."""
        if self.account.waves is not None:
            self.account.waves.alongside(more)

    async def _answer(self, key: str, call: Call, ask: Callable[[], Awaitable[Reply]], *, paid: bool = True) -> Reply:
        """Return the answer that is there; ask, and keep what is answered, where there is none."""
        reply = self._known(key, call, paid=paid)
        if reply is not None:
            return reply
        number = self._asked[key] - 1
        try:
            reply = await ask()
        except OutputError as error:
            if error.spent is not None:
                self.account.count(error.spent)
            raise
        (self.account.pay if paid else self.account.keep)(self.scenario, key, number, reply)
        return reply

    def _may_wait(self, request: Request, key: str) -> None:
        """Let a request go with the next batch, where there are batches."""
        if self.account.waves is not None:
            request.later = self.account.waves.place(f"{self.scenario}/{key}/{self._asked[key]}")

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
        vectors: list[list[float]] = []

        async def ask() -> Reply:
            vectors.extend(await embed_texts(context, call, texts, model))
            return Reply("", model)

        provider = context.model.name.partition("/")[0]
        billed = Request("text", [{"content": text} for text in texts])
        await self._within_budget(billed, f"{provider}/{model}", ask())
        return vectors

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
