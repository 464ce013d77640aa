"""Answers that are there already: of earlier conversations and of the journal, found by what was asked.

What belongs here: the keys by which an answer is found again, and its form as a journal's entry. What does not: asking
and paying (``ledger``, ``account``).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from autograms.conversation.record import Call, Memory
from autograms.conversation.tool_calls import TOOL_CALLS, answer_message
from autograms.errors import ProgramError
from autograms.models.base import Reply, Request
from autograms.primitives.tools import ToolRun
from autograms.program.driver import plain

__all__ = ["Answers", "Recovered", "cache_key", "embed_key", "entry_of", "request_key", "step_key"]


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


def request_key(side: str, request: Request, model: str) -> str:
    """Hash what a model is asked, and by whom."""
    return _key(side, request.kind, request.messages, request.choices, request.schema, model, request.params)


def embed_key(side: str, model: str, texts: list[str]) -> str:
    """Hash what is embedded, by which model, and for whom."""
    return _key(side, "embed", model, texts)


def step_key(side: str, function: Callable[[], Any], data: str = "") -> str | None:
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
    return [code.co_code.hex(), code.co_names, [_constant(value) for value in code.co_consts]]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, tuple):
        return ["tuple", [_constant(item) for item in value]]
    # A set's order is another one in each process.
    text = sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
    return [type(value).__name__, text]


def _key(*parts: Any) -> str:
    try:
        data = orjson.dumps(parts, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # whole numbers above 64 bits, halves of surrogate pairs
        data = json.dumps(parts, default=repr).encode()
    return hashlib.blake2b(data, digest_size=12).hexdigest()


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
