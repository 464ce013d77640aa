"""The ledger of a simulation: which answers are there already, and what is paid.

An answer is reused where the same conversation asks the same model the same thing, for the n-th time as the n-th
time before. Everything that is paid goes to the journal before the program sees it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from autograms.conversation.journal import Journal
from autograms.conversation.record import Call, Memory
from autograms.models.base import Reply, Request
from autograms.program.context import Context
from autograms.program.driver import ask_model, embed_texts

__all__ = ["Answers", "ConversationLedger", "Progress"]


@dataclass(slots=True)
class Progress:
    """Counts of a running simulation.

    Attributes:
        total: Conversations to simulate.
        finished: Conversations that are done, failed ones included.
        failed: Conversations that failed.
        calls: Calls that programs made: paid, reused, and answered by supervisors.
        paid: Answers that a model was asked for in this run.
        reused: Answers that came from an earlier run.
        input_tokens: Prompt tokens of the paid calls.
        output_tokens: Completion tokens of the paid calls.
        cost_usd: Price of the paid calls where known, in US dollars.
        unpriced: Paid calls of models without a known price.
        seconds: Time since the start.
    """

    total: int = 0
    finished: int = 0
    failed: int = 0
    calls: int = 0
    paid: int = 0
    reused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    seconds: float = 0.0


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
                    self._add(self._answers, memory.scenario, call.request, _reply_of(call))
        journaled: dict[str, dict[str, list[Reply]]] = {}
        for scenario, request, reply in _entries(journal):
            self._add(journaled, scenario, request, reply)
        for scenario, requests in journaled.items():
            known = self._answers.setdefault(scenario, {})
            for request, replies in requests.items():
                if len(replies) > len(known.get(request, ())):
                    known[request] = replies

    @staticmethod
    def _add(table: dict[str, dict[str, list[Reply]]], scenario: str, request: str, reply: Reply) -> None:
        table.setdefault(scenario, {}).setdefault(request, []).append(reply)

    def of(self, scenario: str) -> dict[str, list[Reply]]:
        """Return a conversation's answers by request."""
        return self._answers.get(scenario, {})


class ConversationLedger:
    """Answers one conversation's calls from what is there, and pays for the rest.

    Args:
        scenario: Key of the scenario.
        answers: The conversation's answers by request.
        journal: Where paid answers go, or ``None``.
        progress: The simulation's counts.
    """

    __slots__ = ("_answers", "_asked", "_journal", "_progress", "_scenario")

    def __init__(
        self, scenario: str, answers: dict[str, list[Reply]], journal: Journal | None, progress: Progress
    ) -> None:
        self._scenario = scenario
        self._answers = answers
        self._asked: dict[str, int] = {}
        self._journal = journal
        self._progress = progress

    async def complete(self, context: Context, call: Call, request: Request) -> Reply:
        """Answer a request."""
        model = context.classifier if context.classifier is not None and call.kind == "choice" else context.model
        key = _hash(context.side, request, model.name)
        reply = self._known(key, call)
        if reply is None:
            reply = await ask_model(context, call, request)
            self._pay(key, reply)
        return reply

    async def embed(self, context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
        """Embed texts."""
        key = hashlib.blake2b(orjson.dumps([context.side, "embed", model, texts]), digest_size=12).hexdigest()
        reply = self._known(key, call)
        if reply is None:
            vectors = await embed_texts(context, call, texts, model)
            reply = Reply(orjson.dumps(vectors).decode(), model)
            self._pay(key, reply)
        return orjson.loads(reply.text)

    def _known(self, key: str, call: Call) -> Reply | None:
        call.request = key
        number = self._asked.get(key, 0)
        self._asked[key] = number + 1
        known = self._answers.get(key)
        if known is None or number >= len(known):
            return None
        call.reused = True
        self._progress.reused += 1
        return known[number]

    def _pay(self, key: str, reply: Reply) -> None:
        progress = self._progress
        progress.paid += 1
        progress.input_tokens += reply.input_tokens
        progress.output_tokens += reply.output_tokens
        if reply.cost_usd is None:
            progress.unpriced += 1
        else:
            progress.cost_usd += reply.cost_usd
        if self._journal is not None:
            self._journal.append(
                {
                    "scenario": self._scenario,
                    "request": key,
                    "text": reply.text,
                    "model": reply.model,
                    "input_tokens": reply.input_tokens,
                    "output_tokens": reply.output_tokens,
                    "cost_usd": reply.cost_usd,
                    "probabilities": reply.probabilities,
                }
            )


def _hash(side: str, request: Request, model: str) -> str:
    asked = [
        side,
        request.kind,
        request.messages,
        request.choices,
        request.schema,
        request.model or model,
        request.params,
    ]
    return hashlib.blake2b(orjson.dumps(asked, default=str), digest_size=12).hexdigest()


def _reply_of(call: Call) -> Reply:
    probabilities = orjson.loads(call.output or "null") if call.kind == "logits" else None
    return Reply(
        call.output or "", call.model or "", call.input_tokens, call.output_tokens, call.cost_usd, probabilities
    )


def _entries(journal: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, Reply]]:
    for entry in journal:
        try:
            scenario, request = entry.pop("scenario"), entry.pop("request")
            yield scenario, request, Reply(**entry)
        except (KeyError, TypeError):
            continue
