"""The recorded prompts of a conversation, as the messages of rows.

What belongs here: rendering a conversation's prompts one after the other, each message once. What does not: what a
prompt looks like on the wire, which :mod:`autograms.conversation.prompt` alone decides.
"""

from __future__ import annotations

from typing import Any

from autograms.conversation.prompt import add_to_wire
from autograms.conversation.record import NONE, Memory, Prompt
from autograms.datasets.rows import row_message

__all__ = ["ENCODING", "PromptReader", "RowMessage"]

ENCODING = ("utf-8", "surrogatepass")

RowMessage = tuple[str, str | None, str | None]
"""Role, text and further fields, as :data:`~autograms.datasets.rows.MESSAGE`."""

_Rendered = tuple[list[int], list[dict[str, Any]]]
"""A prompt: the numbers of its messages, and the last of them in the chat API's form, which may still grow."""


class PromptReader:
    """Renders the prompts of one conversation; what a prompt shares with an earlier one is not rendered again.

    Args:
        memory: The conversation; its history must be a tree.

    Attributes:
        messages: The messages of the prompts that were read so far, each once.
    """

    def __init__(self, memory: Memory) -> None:
        self.messages: list[RowMessage] = []
        self._pool = memory.messages
        self._history = memory.history
        self._hashes: list[int] = []
        self._known: dict[tuple[int, int, int], _Rendered] = {}
        self._alone: dict[int, int] = {}

    def read(self, prompt: Prompt) -> list[int]:
        """Return the numbers of a prompt's messages, which are those that the deployed program sends.

        Raises:
            IndexError, ValueError, TypeError: Where the record is damaged.
        """
        system, first, last, ask = prompt
        numbers, tail = self._known.get((system, first, last)) or self._path(system, first, last)
        if ask != NONE:
            numbers, tail = numbers.copy(), tail.copy()
            self._append(numbers, tail, ask)
        return numbers

    def hash(self, numbers: list[int]) -> int:
        """Return a hash of a prompt's messages; it is another in another process."""
        hashes = self._hashes
        return hash(tuple([hashes[number] for number in numbers]))

    def _path(self, system: int, first: int, last: int) -> _Rendered:
        known, node, missing = self._known, last, []
        while node != NONE and (system, first, node) not in known:
            parent, message = self._history[node]
            missing.append(message)
            node = NONE if node == first else parent
        numbers: list[int] = []
        tail: list[dict[str, Any]] = []
        if node != NONE:
            numbers, tail = known[system, first, node]
            numbers, tail = numbers.copy(), tail.copy()
        elif system != NONE:
            missing.append(system)
        for message in reversed(missing):
            self._append(numbers, tail, message)
        known[system, first, last] = numbers, tail
        return numbers, tail

    def _append(self, numbers: list[int], tail: list[dict[str, Any]], index: int) -> None:
        """Put one more message of the pool at the end of a prompt, where it may become part of the last one."""
        length = len(tail)
        add_to_wire(tail, self._pool[index])
        if len(tail) == length:
            numbers[-1] = self._made(tail[-1])
            return
        del tail[:-1]
        number = self._alone.get(index)
        if number is None:
            number = self._alone[index] = self._made(tail[-1])
        numbers.append(number)

    def _made(self, message: dict[str, Any]) -> int:
        made = row_message(message)
        self.messages.append(made)
        self._hashes.append(hash(made))
        return len(self._hashes) - 1
