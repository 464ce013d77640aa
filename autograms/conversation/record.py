"""The memory: the record of one conversation, and its versioned schema.

A memory is plain data. Everything that is stored, resumed, trained on or shown comes from it:

    messages    the pool of distinct messages (role and content), each stored once
    history     a tree over the pool: each node is a message and the node before it, so that every prompt
                of a conversation is a path, and a record grows linearly with its turns
    calls       the journal: what each call asked (as a path) and what came back, in the order they began
    turns       what agent and user said to each other, each with the number of calls that came before it

What belongs here: the data, and reading prompts back out of it. What does not: running programs
(``autograms.program``) and files (``parquet``, ``pickle_file``).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from autograms.conversation.checking import check_version
from autograms.conversation.prompt import wire_messages
from autograms.conversation.tool_calls import TOOL_CALLS, tool_messages
from autograms.errors import RecordError

__all__ = ["PLAIN_FIELDS", "SCHEMA_VERSION", "STUDENT", "Call", "Memory", "Prompt", "Turn", "plain_fields"]

SCHEMA_VERSION = 1
STUDENT = "student"
"""The side of a student's calls, and their primitive: pairs hold what it answered, and no row of its own does."""
NONE = -1
"""Stands for "no node" and "no message" wherever an index is expected."""


class Prompt(NamedTuple):
    """What one call showed the model: ``system``, then the history from ``first`` to ``last``, then ``ask``.

    Attributes:
        system: Index of the system message in the pool, or -1.
        first: The first history node that was visible, or -1 for none.
        last: The last history node that was visible, or -1 for none.
        ask: Index of the instruction or question in the pool, or -1.
    """

    system: int = NONE
    first: int = NONE
    last: int = NONE
    ask: int = NONE


@dataclass(slots=True)
class Call:
    """One model call, one supervised answer, or one recorded ``step()``.

    Attributes:
        primitive: The primitive's name: ``reply_instruction``, ``yes_or_no``, ..., or ``step``.
        kind: ``text``, ``choice``, ``object``, ``logits``, ``embedding`` or ``step``; ``tool_calls`` or ``draft``
            where a primitive asked with tools (see ``autograms.conversation.tool_calls``).
        prompt: What the (plain) primitive shows the model.
        output: The answer in its canonical form (a choice's text, a JSON text, a text).
        side: ``chatbot``, ``user``, or ``student``: what a student answered beside a supervisor.
        choices: The allowed answers of a choice.
        schema: The JSON schema of an object, as JSON text.
        place: ``function:line`` in the program.
        parent: Index of the call whose supervisor made this one, or ``None``.
        supervised: Whether a supervisor gave the output.
        supervisor: The supervisor's name.
        score: The supervisor's score.
        rejected: The outputs that the supervisor rejected, in canonical form.
        tags: The supervisor's tags.
        model: ``provider/model`` of the model that answered, ``None`` where a supervisor did.
        params: Keywords of the chat API that went with the call, as JSON text.
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens.
        cost_usd: Price in US dollars, ``None`` where unknown.
        milliseconds: How long the answer took.
        reused: Whether the answer came from an earlier run and was not paid again.
        request: Hash of everything that the answer depends on, hex.
        error: ``Class: message`` where the call failed and the program went on; for calls of tools, where one of them
            was refused.
    """

    primitive: str
    kind: str
    prompt: Prompt
    output: str | None = None
    side: str = "chatbot"
    choices: tuple[str, ...] = ()
    schema: str | None = None
    place: str | None = None
    parent: int | None = None
    supervised: bool = False
    supervisor: str | None = None
    score: float | None = None
    rejected: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    model: str | None = None
    params: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    milliseconds: float = 0.0
    reused: bool = False
    request: str | None = None
    error: str | None = None

    def value(self) -> Any:
        """Return an output that is JSON text as plain containers, ``None`` where there is none.

        Raises:
            RecordError: Where it is no JSON text.
        """
        try:
            return json.loads(self.output) if self.output is not None else None
        except ValueError as error:
            raise RecordError(
                f"the saved memory is damaged: the output of {self.primitive} at {self.place}: {error}"
            ) from None

    @property
    def trains(self) -> bool:
        """Whether the deployed program makes this call too: top-level calls, and supervised ones inside supervisors."""
        return (
            self.side == "chatbot"
            and self.kind in ("text", "choice", "object", TOOL_CALLS)
            and self.output is not None
            and self.error is None
            and (self.parent is None or self.supervised)
        )


@dataclass(slots=True)
class Turn:
    """Something that was said.

    Attributes:
        role: ``assistant`` or ``user``; ``external`` for a function that was run from outside (``content`` is its
            name), ``moved`` where a changed program went on at an address.
        content: The text; ``None`` where the agent's program ended, or the user said nothing.
        after: How many calls of the chatbot's program came before it.
        address: The ``ADDRESS`` of the call that said it, where it carries one.
        data: What ``EXIT`` or ``reply(data=)`` handed over, as JSON text.
        kwargs: For the user's turn that (re)started the program: the root function's keywords, as JSON text.
    """

    role: str
    content: str | None
    after: int
    address: str | None = None
    data: str | None = None
    kwargs: str | None = None


@dataclass(slots=True)
class Memory:
    """The record of one conversation.

    Attributes:
        autogram: Name of the program (its file's stem).
        scenario: Key of the scenario, empty outside simulations.
        fingerprint: Hash of all that the simulation depended on, empty outside simulations.
        status: ``completed``, ``failed`` or ``truncated``.
        error: For a failed conversation: the exception's class name.
        error_message: Its message.
        error_place: The program's line, ``file:line``.
        error_side: ``chatbot`` or ``user``: whose program failed.
        seed: Seed of the conversation's ``random``.
        scenario_data: The scenario, as JSON text.
        branch: Which branch of the scenario's conversation this one is, ``None`` where it is the conversation itself.
        findings: What the program that played the user did wrong, one text each.
        messages: The pool: ``(role, content, extra)``; ``extra`` is JSON text with the message's further
            chat API fields (content parts, tool calls), or ``None``. Roles: ``system``, ``user``,
            ``assistant``, ``instruction``, ``tool``.
        history: Nodes ``(parent node or -1, message)``.
        calls: The calls, in the order in which they began.
        turns: What was said, in order.
        version: Schema version of the record.
    """

    autogram: str = ""
    scenario: str = ""
    fingerprint: str = ""
    status: str = "completed"
    error: str | None = None
    error_message: str | None = None
    error_place: str | None = None
    error_side: str | None = None
    seed: int = 0
    scenario_data: str | None = None
    branch: str | None = None
    findings: list[str] = field(default_factory=list)
    messages: list[tuple[str, str, str | None]] = field(default_factory=list)
    history: list[tuple[int, int]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    version: int = SCHEMA_VERSION
    live: Any = field(default=None, repr=False, compare=False)
    """The suspended program, where it still lives in this process; never stored."""
    busy: bool = field(default=False, repr=False, compare=False)
    """Whether a turn is under way; never stored."""
    checked: bool = field(default=False, repr=False, compare=False)
    """Whether it was seen to hold together since it was read; never stored."""
    unsaveable: str | None = field(default=None, repr=False, compare=False)
    """What keeps the memory from being saved: keywords of the root function that are no plain data."""
    live_kwargs: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Those keywords, for the time that this process has them; never stored."""

    def path(self, first: int, last: int) -> list[int]:
        """Return the message indices of the history nodes from ``first`` to ``last``, oldest first."""
        path = []
        node = last
        while node != NONE:
            parent, message = self.history[node]
            path.append(message)
            if node == first:
                break
            node = parent
        path.reverse()
        return path

    def prompt_messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return a prompt in wire form: exactly the messages that were (or would be) sent to the model."""
        messages = self.messages
        chosen = [messages[prompt.system]] if prompt.system != NONE else []
        chosen += [messages[index] for index in self.path(prompt.first, prompt.last)]
        if prompt.ask != NONE:
            chosen.append(messages[prompt.ask])
        return wire_messages(chosen)

    def of_one_side(self, side: str) -> Memory:
        """Return the memory of one program alone, which it can be resumed from: the other's calls stand behind its own.

        Raises:
            RecordError: Where the two programs' calls are mixed.
        """
        own = [call for call in self.calls if call.side == side]
        if own != self.calls[: len(own)]:
            raise RecordError(f"the calls of the {side}'s program do not stand first; it cannot be resumed")
        return dataclasses.replace(self, calls=own, live=None)

    def transcript(self) -> list[dict[str, Any]]:
        """Return what was said, and the tools that were called for it, as messages in the chat API's own form.

        Empty turns are left out; ``{"role", "content"}`` is all of a message that is neither a call of tools
        (``tool_calls``) nor what one gave (the role ``tool``).
        """
        said: list[dict[str, Any]] = []
        before = 0
        for turn in self.turns:
            if turn.role == "assistant":
                said += tool_messages(self.calls[before : turn.after])
                before = turn.after
            if turn.content and turn.role in ("assistant", "user"):
                said.append({"role": turn.role, "content": turn.content})
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return the memory as plain containers (JSON's types), the form of saved memories and ``.pkl`` files."""
        data = plain_fields(self)
        data["messages"] = [list(message) for message in self.messages]
        data["history"] = [list(node) for node in self.history]
        data["calls"] = [_call_to_dict(call) for call in self.calls]
        data["turns"] = [{k: v for k, v in asdict(turn).items() if v is not None} for turn in self.turns]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Memory:
        """Read what :meth:`to_dict` wrote.

        Raises:
            RecordError: Where the data is not a memory, or of a newer schema version.
        """
        if not isinstance(data, dict) or "calls" not in data or "version" not in data:
            raise RecordError("not a saved memory: expected an object with 'version', 'messages', 'calls' and 'turns'")
        check_version(data["version"])
        try:
            memory = cls(**{name: data[name] for name in PLAIN_FIELDS if name in data})
            memory.messages = [tuple(message) for message in data["messages"]]
            memory.history = [tuple(node) for node in data["history"]]
            memory.calls = [_call_from_dict(call) for call in data["calls"]]
            memory.turns = [Turn(**turn) if "content" in turn else Turn(content=None, **turn) for turn in data["turns"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(f"the saved memory is damaged: {type(error).__name__}: {error}") from error
        return memory


PLAIN_FIELDS = (
    "version",
    "autogram",
    "scenario",
    "fingerprint",
    "status",
    "error",
    "error_message",
    "error_place",
    "error_side",
    "seed",
    "scenario_data",
    "branch",
    "findings",
)


def plain_fields(memory: Memory) -> dict[str, Any]:
    """Return the fields of a memory that are single values."""
    return {name: getattr(memory, name) for name in PLAIN_FIELDS}


_CALL_DEFAULTS = {
    name: spec.default
    for name, spec in Call.__dataclass_fields__.items()
    if name not in ("primitive", "kind", "prompt")
}


def _call_to_dict(call: Call) -> dict[str, Any]:
    prompt = call.prompt
    data: dict[str, Any] = {
        "primitive": call.primitive,
        "kind": call.kind,
        "prompt": [prompt.system, prompt.first, prompt.last, prompt.ask],
    }
    for name, default in _CALL_DEFAULTS.items():
        value = getattr(call, name)
        if value != default:
            data[name] = list(value) if isinstance(value, tuple) else value
    return data


def _call_from_dict(data: dict[str, Any]) -> Call:
    data = dict(data)
    data["prompt"] = Prompt(*data["prompt"])
    for name in ("choices", "rejected", "tags"):
        if name in data:
            data[name] = tuple(data[name])
    return Call(**data)
