"""Prompt and history: the system prompt, and what was said."""

from __future__ import annotations

from autograms.conversation.prompt import wire_messages
from autograms.conversation.tool_calls import readable
from autograms.program.context import Context, current

__all__ = [
    "append_system_prompt",
    "extract_full_conv_history",
    "extract_last_user_reply",
    "get_system_prompt",
    "get_turn_history",
    "set_system_prompt",
]


def set_system_prompt(text: str) -> None:
    """Set the system prompt, which functions called from here inherit, until this function returns."""
    current().system = text


def append_system_prompt(text: str) -> None:
    """Add a line to the system prompt, until this function returns."""
    context = current()
    context.system = f"{context.system}\n{text}" if context.system else text


def get_system_prompt() -> str:
    """Return the system prompt, an empty text where none is set."""
    return current().system or ""


def extract_last_user_reply() -> str | None:
    """Return what the user said last, ``None`` before that."""
    return current().user_text


def extract_full_conv_history() -> list[dict[str, str]]:
    """Return all that agent and user have said so far as ``{"role", "content"}``, whatever the scope."""
    context = current()
    return [
        {"role": turn.role, "content": turn.content}
        for turn in context.memory.turns[: context.next_turn]
        if turn.content and turn.role in ("assistant", "user")
    ]


def get_turn_history(
    instruction: str = "", max_turns: int | None = None, conv_only: bool = False
) -> tuple[list[str], list[str], str]:
    """Return the visible history in pairs.

    Args:
        instruction: What closes the last input.
        max_turns: User turns that are included, ``None`` for all.
        conv_only: Leave logged thoughts and calls of tools out.

    Returns:
        The inputs (what the model was shown before each of its turns, and last the instruction), the outputs (its
        turns), and the system prompt. There is one input more than there are outputs.
    """
    context = current()
    inputs: list[str] = []
    outputs: list[str] = []
    pending: list[str] = []
    for role, text in _visible(context, max_turns, conv_only):
        if role == "assistant":
            inputs.append("\n\n".join(pending))
            outputs.append(text)
            pending = []
        else:
            pending.append(text)
    return [*inputs, "\n\n".join([*pending, *([instruction] if instruction else [])])], outputs, context.system or ""


def _visible(context: Context, max_turns: int | None, conv_only: bool) -> list[tuple[str, str]]:
    first, last = context.window(max_turns)
    pool = context.memory.messages
    messages = [pool[index] for index in context.memory.path(first, last)]
    if not conv_only:
        return [(message[0], _text(message)) for message in messages]
    kept: list[tuple[str, str]] = []
    thought = False
    for role, text, extra in messages:
        if _of_tools(role, extra):
            continue
        if role == "instruction":
            thought = True
        elif not (thought and role == "assistant"):
            kept.append((role, text))
        if role == "assistant":
            thought = False
    return kept


def _of_tools(role: str, extra: str | None) -> bool:
    return role == "tool" or (extra is not None and '"tool_calls"' in extra)


def _text(message: tuple[str, str, str | None]) -> str:
    role, text, extra = message
    return readable(wire_messages([message])[0]) if extra is not None and _of_tools(role, extra) else text
