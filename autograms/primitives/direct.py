"""Direct calls: primitives that send the program's own prompt, without the conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from autograms.conversation.prompt import pool_message
from autograms.conversation.record import NONE, Call, Prompt
from autograms.errors import ProgramError
from autograms.primitives.asking import ask, primitive, text_output
from autograms.program.context import current
from autograms.program.driver import recorded_error
from autograms.program.effects import Embed

__all__ = ["call_chat_completion", "call_completion", "call_llm", "get_batch_embeddings", "get_single_embedding"]


@primitive
def call_llm(prompt: str, call_type: str = "chat_completion", **options: Any) -> str:
    """Send one prompt and return the answer.

    Args:
        prompt: The prompt, sent as the user's message.
        call_type: ``"chat_completion"`` or ``"completion"``; both go through the chat API.
        **options: ``model``, ``supervisor``, ``supervisor_kwargs``, ``tools`` with ``max_tool_rounds``, and any keyword
            of the chat API.

    Raises:
        ProgramError: For another ``call_type``.
    """
    if call_type not in ("chat_completion", "completion"):
        raise ProgramError(f"call_type={call_type!r}: expected 'chat_completion' or 'completion'")
    return ask("call_llm", "text", prompt, options, encode=text_output, role="user", history=False)


@primitive
def call_completion(prompt: str, **options: Any) -> tuple[str, bool]:
    """Send one prompt; return the answer and ``True`` (a call that fails raises)."""
    return ask("call_completion", "text", prompt, options, encode=text_output, role="user", history=False), True


@primitive
def call_chat_completion(messages: Sequence[dict[str, Any]], **options: Any) -> tuple[str, bool]:
    """Send chat messages as they are; return the answer and ``True`` (a call that fails raises).

    Args:
        messages: ``{"role", "content"}`` mappings of the chat API, at least one.
        **options: As in :func:`call_llm`.

    Raises:
        ProgramError: Where there is no message, or one has no role.
    """
    if not messages or not all(isinstance(message, dict) and "role" in message for message in messages):
        raise ProgramError(f"messages={messages!r}: expected a list of mappings with 'role' and 'content'")
    pool = [pool_message(message) for message in messages]
    role, text, extra = pool[-1]
    answer = ask(
        "call_chat_completion",
        "text",
        text,
        options,
        encode=text_output,
        role=role,
        extra=extra,
        history=False,
        before=pool[:-1],
    )
    return answer, True


def get_single_embedding(text: str, *, model: str | None = None, **ignored: Any) -> list[float]:
    """Return the embedding of a text."""
    return _embed([text], model)[0]


def get_batch_embeddings(texts: Sequence[str], *, model: str | None = None, **ignored: Any) -> list[list[float]]:
    """Return the embedding of each text."""
    return _embed(list(texts), model)


def _embed(texts: list[str], model: str | None) -> list[list[float]]:
    context = current()
    asked = json.dumps(texts, ensure_ascii=False)
    if context.replaying:
        call = context.recorded("embedding", asked)
        if call.error is not None or call.output is None:
            raise recorded_error(call.error or "RecordError: the memory holds no embedding; it is damaged")
        return call.value()
    prompt = Prompt(NONE, NONE, NONE, context.intern("user", asked))
    call = Call("embedding", "embedding", prompt, None, context.side, place=context.place())
    call.parent = context.parent_call
    context.begin(call)
    try:
        vectors = context.switch(Embed(call, texts, model or context.config.embedding_path))
    except Exception as error:
        call.error = f"{type(error).__name__}: {error}"
        raise
    call.output, call.model = json.dumps(vectors), model or context.config.embedding_path
    return vectors
