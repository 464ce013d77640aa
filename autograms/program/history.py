"""The messages of a conversation as its program sees them: a pool, and a tree of what followed what.

What belongs here: from a scope's state to the messages of a prompt, by index and over the wire. What does not: calls
and turns (``context``), and the scopes themselves (``autograms.primitives.history``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograms.conversation.prompt import add_to_wire, wire_messages
from autograms.conversation.record import NONE, Memory, Prompt

__all__ = ["History"]


class History:
    """What a program sees of its conversation.

    Args:
        memory: The record that messages are added to.
        system: The system prompt at the start.
    """

    __slots__ = ("head", "memory", "nodes", "pool", "system", "touched", "wire", "wire_head")

    def __init__(self, memory: Memory, system: str | None) -> None:
        self.memory = memory
        self.pool: dict[tuple[str, str, str | None], int] = {m: i for i, m in enumerate(memory.messages)}
        self.nodes: dict[tuple[int, int], int] = {n: i for i, n in enumerate(memory.history)}
        self.head = NONE
        self.system = system
        self.wire: list[dict[str, Any]] = []
        self.wire_head = NONE
        self.touched: tuple[list[int], list[int]] | None = None

    def intern(self, role: str, content: str, extra: str | None = None) -> int:
        """Return the pool index of a message, adding it where it is new."""
        key = (role, content, extra)
        index = self.pool.get(key)
        if index is None:
            index = self.pool[key] = len(self.memory.messages)
            self.memory.messages.append(key)
        if self.touched is not None:
            self.touched[0].append(index)
        return index

    def log(self, role: str, content: str, extra: str | None = None) -> None:
        """Append a message to the visible history."""
        self.head = self.node(self.head, self.intern(role, content, extra))

    def node(self, parent: int, message: int) -> int:
        """Return the history node of a message behind a parent node, adding it where it is new."""
        key = (parent, message)
        index = self.nodes.get(key)
        if index is None:
            index = self.nodes[key] = len(self.memory.history)
            self.memory.history.append(key)
        if self.touched is not None:
            self.touched[1].append(index)
        return index

    def window(self, max_turns: int | None) -> tuple[int, int]:
        """Return the first and last history node that a call sees.

        Args:
            max_turns: User turns that are visible; the window starts at the agent's turn before the first of them.
                ``None`` for all, 0 for none.
        """
        if self.head == NONE or max_turns == 0:
            return NONE, NONE
        if max_turns is None:
            return NONE, self.head
        messages, history = self.memory.messages, self.memory.history
        node, seen = self.head, 0
        while node != NONE:
            parent, message = history[node]
            if messages[message][0] == "user":
                seen += 1
                if seen == max_turns:
                    starts_at_agent = parent != NONE and messages[history[parent][1]][0] == "assistant"
                    return (parent if starts_at_agent else node), self.head
            node = parent
        return NONE, self.head

    def prompt(self, ask: str, *, role: str, extra: str | None, max_turns: int | None, with_system: bool) -> Prompt:
        """Return the prompt of a call as indices, adding what is new to the pool."""
        first, last = self.window(max_turns)
        system = self.intern("system", self.system) if with_system and self.system else NONE
        return Prompt(system, first, last, self.intern(role, ask, extra))

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return a prompt in wire form, as ``Memory.prompt_messages`` does, without rendering old history again."""
        if prompt.first != NONE or prompt.last != self.head or prompt.last == NONE:
            return self.memory.prompt_messages(prompt)
        messages, history = self.memory.messages, self.memory.history
        new: list[int] = []
        node = prompt.last
        while node not in (NONE, self.wire_head):
            node, message = history[node]
            new.append(message)
        if node == NONE:
            self.wire = []
        for message in reversed(new):
            add_to_wire(self.wire, messages[message])
        self.wire_head = prompt.last
        wire = self.wire.copy()
        if prompt.system != NONE:
            wire[:0] = wire_messages([messages[prompt.system]])
        if prompt.ask != NONE:
            add_to_wire(wire, messages[prompt.ask])
        return wire

    def settle(self, messages: int, nodes: int, branches: Sequence[History]) -> None:
        """Number what branches added to the pool and the history by branch, not by which answer came first.

        Args:
            messages: Size of the pool before the branches ran.
            nodes: Size of the history before the branches ran.
            branches: The branches, all of them at an end.
        """
        memory = self.memory
        touched = [branch.touched or ([], []) for branch in branches]
        message_order = [i for i in dict.fromkeys(i for some, _ in touched for i in some) if i >= messages]
        node_order = [i for i in dict.fromkeys(i for _, some in touched for i in some) if i >= nodes]
        message_at = {old: messages + new for new, old in enumerate(message_order)}
        node_at = {old: nodes + new for new, old in enumerate(node_order)}
        for node in memory.history[nodes:]:
            del self.nodes[node]
        memory.messages[messages:] = [memory.messages[old] for old in message_order]
        memory.history[nodes:] = [
            (node_at.get(parent, parent), message_at.get(message, message))
            for parent, message in [memory.history[old] for old in node_order]
        ]
        self.pool.update({memory.messages[new]: new for new in message_at.values()})
        self.nodes.update({memory.history[new]: new for new in node_at.values()})
        for call in (call for branch in branches for call in branch.memory.calls):
            system, first, last, ask = call.prompt
            call.prompt = Prompt(
                message_at.get(system, system),
                node_at.get(first, first),
                node_at.get(last, last),
                message_at.get(ask, ask),
            )
