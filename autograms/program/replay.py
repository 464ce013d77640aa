"""A program's turns: entering it, noting that it ended, and running it again against what its memory recorded.

Resuming is a replay: each recorded turn is entered as it was then, and every effect is handed what was recorded. A
program that has changed goes on at the ``ADDRESS`` that its last turn was suspended at (a *move*). What does not belong
here: how effects are performed (``driver``), the cursor in the record (``context``), and who owns a conversation
(``autograms.autogram``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from autograms.conversation.record import NONE, Memory, Turn
from autograms.errors import DivergenceError, ProgramError, RecordError
from autograms.program.context import Context
from autograms.program.driver import prepare, resume
from autograms.program.effects import FINISHED, SAID
from autograms.program.outside import drive_here

__all__ = ["Root", "call_external", "enter", "finish", "keywords_text", "move", "replay"]

_PLAIN = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


class Root(NamedTuple):
    """Where a program begins.

    Attributes:
        name: The program's name in messages.
        function: Its root function.
        module: The names of its module, where functions that are called from outside are found again.
    """

    name: str
    function: Callable[..., Any]
    module: Mapping[str, Any]

    def external(self, name: str) -> Callable[..., Any] | None:
        """Return a function of the program's module, ``None`` where it has none of this name."""
        found = self.module.get(name)
        return found if callable(found) else None


# ----------------------------------------------------------------------------------------------------------- one turn


def enter(context: Context, root: Root, user_reply: str | None, kwargs: dict[str, Any]) -> Any:
    """Hand the user's text to the program, which starts where it is not under way; return its first effect."""
    program = context.greenlet
    if program is None or program.dead:
        context.head, context.system, context.frames = NONE, context.config.default_prompt, []
        context.root_kwargs = kwargs or context.root_kwargs
        prepare(context, root.function, context.root_kwargs)
    context.hear(user_reply)
    return resume(context)


def finish(context: Context) -> None:
    """Record that the program ended, or find it recorded.

    Raises:
        DivergenceError: Where the record goes on.
    """
    turns = context.memory.turns
    if context.next_turn < len(turns):
        turn = turns[context.next_turn]
        if turn.role != "assistant" or turn.content is not None or turn.after != context.next_call:
            raise context.diverged(turn, "nothing: the program ends here")
    elif context.replaying:
        raise context.diverged(context.memory.calls[context.next_call], "nothing: the program ends here")
    else:
        turns.append(Turn("assistant", None, context.next_call))
    context.next_turn += 1


def call_external(context: Context, root: Root, function: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    """Call a function of the program's module from outside, as a turn of its own; return its result.

    Raises:
        ProgramError: Where the module has no such function, which a replay must find again, or where it replies.
    """
    memory = context.memory
    name = getattr(function, "__name__", repr(function))
    if root.external(name) is None:
        raise ProgramError(f"{name}() is no function of {root.name}'s file; define it there")
    memory.turns.append(Turn("external", name, context.next_call, kwargs=keywords_text(memory, kwargs)))
    context.next_turn += 1
    return _run_external(context, function, kwargs)


def _run_external(context: Context, function: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    kept = context.greenlet, context.head, context.system, context.frames
    result: list[Any] = []
    context.frames = []
    try:
        prepare(context, lambda **keywords: result.append(function(**keywords)), kwargs)
        effect = drive_here(context, resume(context))
        if effect is SAID:
            raise ProgramError(f"{function.__name__}() replied; a function run from outside returns its result")
    finally:
        context.greenlet, context.head, context.system, context.frames = kept
    return result[0]


# ---------------------------------------------------------------------------------------------------------- all turns


def replay(context: Context, root: Root) -> None:
    """Run the program against everything that its memory recorded since it last moved to a changed program.

    Raises:
        DivergenceError: Where the program asks for something else than what was recorded.
    """
    turns = context.memory.turns
    context.root_kwargs = context.memory.live_kwargs
    moves = [index for index, turn in enumerate(turns) if turn.role == "moved"]
    if moves:
        _go_to_address(context, root, moves[-1])
    while context.next_turn < len(turns):
        turn = turns[context.next_turn]
        kwargs = _keywords_of(turn)
        if turn.role == "external":
            _replay_external(context, root, turn.content or "", kwargs)
            continue
        effect = enter(context, root, turn.content, kwargs)
        if effect is FINISHED:
            finish(context)
        elif effect is not SAID:
            raise context.diverged(turns[context.next_turn], "a call that was not made then")


def _replay_external(context: Context, root: Root, name: str, kwargs: dict[str, Any]) -> None:
    context.next_turn += 1
    function = root.external(name)
    if function is None:
        raise DivergenceError(f"{root.name} has no function any more that was run in the conversation from outside")
    _run_external(context, function, kwargs)


def move(context: Context, root: Root) -> None:
    """Move to the changed program: note in the memory at which address it goes on, and start it there.

    Raises:
        DivergenceError: Where the call that the program was suspended at carries no address.
    """
    memory = context.memory
    last = next((turn for turn in reversed(memory.turns) if turn.role == "assistant"), None)
    if last is None or last.address is None:
        raise DivergenceError(
            "the program has changed, and the call at which it was suspended carries no ADDRESS to resume at"
        )
    kwargs = next((turn.kwargs for turn in memory.turns if turn.kwargs), None)
    memory.turns.append(Turn("moved", None, len(memory.calls), last.address, kwargs=kwargs))
    _go_to_address(context, root, len(memory.turns) - 1)


def _go_to_address(context: Context, root: Root, index: int) -> None:
    """Start the program at the address of a move, with a history of what was said before it."""
    turns = context.memory.turns
    moved = turns[index]
    context.next_turn, context.next_call = index + 1, moved.after
    context.address_path = (moved.address or "").split(" > ")
    for turn in turns[:index]:
        if turn.content and turn.role in ("assistant", "user"):
            context.log(turn.role, turn.content)
            context.user_text = turn.content if turn.role == "user" else context.user_text
    context.root_kwargs = _keywords_of(moved)
    prepare(context, root.function, context.root_kwargs)


# ----------------------------------------------------------------------------------------------------------- keywords


def keywords_text(memory: Memory, kwargs: dict[str, Any]) -> str | None:
    """Return keywords as a turn's JSON text; the memory notes those that are no plain data, and cannot be saved."""
    if not kwargs:
        return None
    try:
        return orjson.dumps(kwargs, option=_PLAIN).decode()
    except TypeError:
        bad = [key for key, value in kwargs.items() if not _is_plain(value)]
        memory.live_kwargs = kwargs
        memory.unsaveable = ", ".join(f"{key}={type(kwargs[key]).__name__}" for key in bad)
        return None


def _keywords_of(turn: Turn) -> dict[str, Any]:
    try:
        kwargs = orjson.loads(turn.kwargs) if turn.kwargs else {}
    except orjson.JSONDecodeError as error:
        raise RecordError(f"the saved memory is damaged: the keywords of a turn: {error}") from None
    if not isinstance(kwargs, dict):
        raise RecordError(f"the saved memory is damaged: the keywords of a turn are a {type(kwargs).__name__}")
    return kwargs


def _is_plain(value: Any) -> bool:
    try:
        orjson.dumps(value, option=_PLAIN)
    except TypeError:
        return False
    return True
