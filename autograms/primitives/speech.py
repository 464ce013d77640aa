"""Speaking: primitives that end the turn. The program goes on behind the call when the user answers."""

from __future__ import annotations

from typing import Any

from autograms.errors import ProgramError
from autograms.primitives.asking import ask, primitive, text_output
from autograms.primitives.thinking import instruct
from autograms.primitives.tool_rounds import keep_rounds
from autograms.program.context import Context, current
from autograms.program.driver import plain

__all__ = ["EXIT", "reply", "reply_instruction", "reply_suffix"]


def _say(context: Context, text: str, data: Any) -> None:
    context.say(text, None if data is None else plain(data, "data= of a reply"))


@primitive
def reply(text: str, data: Any = None, **ignored: Any) -> None:
    """Say a text and end the turn.

    Args:
        text: What the user sees.
        data: Plain data that goes with the reply.
        **ignored: AutoGRAMS allows further keywords, which have no effect.
    """
    _say(current(), str(text) if text is not None else "", data)


@primitive
def reply_instruction(instruction: str, data: Any = None, **options: Any) -> None:
    """Let the model reply by an instruction, and end the turn.

    Args:
        instruction: What the model is told.
        data: Plain data that goes with the reply.
        **options: ``max_turns``, ``supervisor``, ``supervisor_kwargs``, ``tools`` with ``max_tool_rounds``, and any
            keyword of the chat API.
    """
    context = current()
    context.refuse_inside("a reply")
    if context.arriving():
        return
    text = instruct(context, "reply_instruction", instruction, options)
    keep_rounds(context, options)
    _say(context, text, data)


@primitive
def reply_suffix(text: str, data: Any = None, **options: Any) -> None:
    """Let the model reply to what the user said and close with a given text, and end the turn.

    Args:
        text: What the reply closes with; it is added where the model left it out.
        data: Plain data that goes with the reply.
        **options: As in :func:`reply_instruction`.
    """
    context = current()
    context.refuse_inside("a reply")
    if context.arriving():
        return
    asked = context.config.reply_suffix_inst_conversion.replace("<instruction>", text)
    question = context.prefix + asked + context.suffix
    answer = ask(
        "reply_suffix", "text", question, options, encode=text_output, max_turns=options.get("max_turns") or None
    )
    keep_rounds(context, options)
    _say(context, answer if text in answer else f"{answer.rstrip()} {text}".lstrip(), data)


def EXIT(data: dict[str, Any] | None = None, **ignored: Any) -> None:
    """End the turn at once from any depth; the next turn goes on behind it.

    Args:
        data: Plain data for the caller; its ``"reply"`` is what the user sees.
    """
    if data is not None and not isinstance(data, dict):
        raise ProgramError(f"EXIT({data!r}): expected a mapping, whose 'reply' is what the user sees")
    text = (data or {}).get("reply")
    current().say(None if text is None else str(text), None if data is None else plain(data, "the data of EXIT"))
