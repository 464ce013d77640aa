"""The recorded prompts of conversations, as the messages of rows.

What belongs here: rendering a conversation's prompts one after the other, each message once. What does not: what a
prompt looks like on the wire, which :mod:`autograms.conversation.prompt` decides; a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from autograms.conversation.record import NONE, Memory, Prompt
from autograms.datasets.rows import row_message

__all__ = ["ENCODING", "PromptReader", "RowMessage"]

ENCODING = ("utf-8", "surrogatepass")

RowMessage = tuple[str, str | None, str | None]
"""Role, text and further fields, as :data:`~autograms.datasets.rows.MESSAGE`."""

_Rendered = tuple[list[int], int, RowMessage | None]
"""A prompt: the numbers of its messages, a hash of all but the last of them, and the last, which may still grow."""


class PromptReader:
    """Renders prompts; what a prompt shares with an earlier one of its conversation is not rendered again.

    Args:
        messages: Takes the messages of the prompts that are read, each once a conversation.
    """

    def __init__(self, messages: list[RowMessage]) -> None:
        self.messages = messages

    def open(self, memory: Memory) -> None:
        """Go on with a conversation, whose history must be a tree."""
        self._pool = memory.messages
        self._history = memory.history
        self._known: dict[tuple[int, int], dict[int, _Rendered]] = {}
        self._alone: dict[int, int] = {}

    def read(self, prompt: Prompt) -> tuple[list[int], int]:
        """Return where the messages of a prompt stand in ``messages``, and a hash of them all.

        They are those that the deployed program sends. The hash is another in another process.

        Raises:
            IndexError, ValueError, TypeError: Where the record is damaged.
        """
        system, first, last, ask = prompt
        known = self._known.setdefault((system, first), {})
        rendered = known.get(last) or self._path(known, system, first, last)
        numbers, before, end = rendered if ask == NONE else self._extended(rendered, (ask,))
        return numbers, hash((before, end))

    def _path(self, known: dict[int, _Rendered], system: int, first: int, last: int) -> _Rendered:
        node, missing = last, []
        while node != NONE and node not in known:
            parent, message = self._history[node]
            missing.append(message)
            node = NONE if node == first else parent
        if node == NONE and system != NONE:
            missing.append(system)
        start: _Rendered = ([], 0, None) if node == NONE else known[node]
        known[last] = rendered = self._extended(start, reversed(missing))
        return rendered

    def _extended(self, rendered: _Rendered, indices: Iterable[int]) -> _Rendered:
        """Return a prompt with more messages of the pool at its end, where they may become part of the last one."""
        messages, alone = self.messages, self._alone
        numbers, before, last = rendered
        numbers = numbers.copy()
        for index in indices:
            role, content, extra = self._pool[index]
            if role == "instruction":
                role = "user"
            if role == "user" and extra is None and last is not None and last[0] == "user" and last[1] is not None:
                last = (role, f"{last[1]}\n\n{content}", None)
                numbers[-1] = len(messages)
                messages.append(last)
                continue
            before = hash((before, last))
            number = alone.get(index)
            if number is None:
                number = alone[index] = len(messages)
                messages.append(_alone(role, content, extra))
            last = messages[number]
            numbers.append(number)
        return numbers, before, last


def _alone(role: str, content: str, extra: str | None) -> RowMessage:
    if extra is None:
        return role, content, None
    return row_message({"role": role, "content": content, **json.loads(extra)})
