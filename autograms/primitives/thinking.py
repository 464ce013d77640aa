"""Thinking: primitives that ask the model for text and do not end the turn."""

from __future__ import annotations

from typing import Any

from autograms.primitives.asking import ask, primitive, text_output
from autograms.primitives.tool_rounds import keep_rounds
from autograms.program.context import Context, current

__all__ = ["instruct", "silent_thought", "thought"]


def instruct(context: Context, name: str, instruction: str, options: dict[str, Any]) -> str:
    """Ask for a text by an instruction; the history is seen whole unless ``max_turns`` limits it."""
    text = f"{context.prefix}{instruction}{context.suffix}"
    return ask(name, "text", text, options, encode=text_output, max_turns=options.get("max_turns") or None)


@primitive
def thought(instruction: str, **options: Any) -> str:
    """Ask the model for a text that the user does not see; instruction and answer stay in the history.

    Args:
        instruction: What the model is told.
        **options: ``max_turns``, ``supervisor``, ``supervisor_kwargs``, ``tools`` with ``max_tool_rounds``, and any
            keyword of the chat API.
    """
    context = current()
    answer = instruct(context, "thought", instruction, options)
    context.log("instruction", f"{context.prefix}{instruction}{context.suffix}")
    keep_rounds(context, options)
    context.log("assistant", answer)
    return answer


@primitive
def silent_thought(instruction: str, **options: Any) -> str:
    """Ask the model for a text that neither the user nor later prompts see.

    Args:
        instruction: What the model is told.
        **options: As in :func:`thought`.
    """
    return instruct(current(), "silent_thought", instruction, options)
