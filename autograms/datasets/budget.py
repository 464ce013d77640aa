"""A budget of tokens for the rows that train.

What belongs here: counting a row's tokens, and choosing rows until the budget is used up. What does not: the exact
token audit of a model's own template (``autograms.finetuning.tokens``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from autograms.conversation.record import Call
from autograms.conversation.tool_calls import answer_message, offered_tools
from autograms.datasets.prompts import RowMessage
from autograms.datasets.rows import chat_messages

__all__ = ["ESTIMATE", "CountTokens", "beyond_budget", "estimate_tokens", "row_tokens"]

CountTokens = Callable[..., int]
"""Tokens of a list of chat messages, the answer among them; where tools are offered they follow as ``tools=``."""

ESTIMATE = "an estimate (a token for every four bytes of UTF-8, and four for each message)"
_BYTES_A_TOKEN = 4
_TOKENS_A_MESSAGE = 4


def estimate_tokens(messages: Iterable[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> int:
    """Return about how many tokens chat messages have; it needs no spaces between words."""
    texts = [str(message.get("content") or "") + _called(message) for message in messages]
    if tools:
        texts.append(json.dumps(tools, ensure_ascii=False))
    return sum(_TOKENS_A_MESSAGE + -(-len(text.encode(errors="replace")) // _BYTES_A_TOKEN) for text in texts)


def _called(message: dict[str, Any]) -> str:
    return "".join(json.dumps(call.get("function"), ensure_ascii=False) for call in message.get("tool_calls") or ())


def row_tokens(prompt: Sequence[RowMessage], call: Call, answers: Iterable[str], count: CountTokens) -> int:
    """Return the tokens that go through a model for a row: the prompt with each of its answers."""
    messages = chat_messages({"role": role, "content": text, "extra": extra} for role, text, extra in prompt)
    offered = offered_tools(call.params)
    given = {"tools": offered} if offered else {}
    return sum(count([*messages, answer_message(call.kind, answer)], **given) for answer in answers)


def beyond_budget(
    rows: Sequence[int], places: Sequence[int], tokens: Sequence[int], *, budget: int, seed: int
) -> set[int]:
    """Return the rows that do not fit into the budget.

    Rows are taken in an order that depends on them and the seed alone, so that those which fit are a fair
    sample, and the same one whatever the order of the conversations.

    Args:
        rows: The rows to choose among.
        places: For every row a number that depends on it alone.
        tokens: For every row its tokens.
        budget: The tokens that may be used.
        seed: Seed of the order.
    """
    mixed = int.from_bytes(blake2b(f"budget {seed}".encode(), digest_size=8).digest(), "big")
    beyond, left = set(), budget
    for row in sorted(rows, key=lambda row: (places[row] ^ mixed, row)):
        if tokens[row] <= left:
            left -= tokens[row]
        else:
            beyond.add(row)
    return beyond
