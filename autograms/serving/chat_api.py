"""The chat completions API, as data: what a request asks, and how an answer is told.

What does not belong here: HTTP, and who answers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from autograms.errors import AutogramsError
from autograms.models.base import Message

__all__ = ["CONVERSATION_HEADER", "Answer", "ChatRequest", "RequestError", "as_chunks", "as_completion", "as_error"]

CONVERSATION_HEADER = "X-Conversation-Id"
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_REFUSED = ("tools", "functions", "logprobs", "audio")
"""Fields whose silent loss would give the caller something else than was asked for."""


class RequestError(AutogramsError, ValueError):
    """A request that cannot be answered as it is.

    Args:
        message: What is wrong, and what was expected.
        status: The HTTP status.
        param: The field that is wrong.
    """

    def __init__(self, message: str, status: int = 400, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.args[0], self.status, self.param))


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to ``/v1/chat/completions``.

    Attributes:
        messages: The messages.
        conversation: Id of the conversation to go on with, ``None`` for a new one.
        kwargs: Keywords of the program's root function, for a conversation that begins.
        params: Further fields of the request.
        stream: Whether the answer is sent as events.
        usage: Whether the events tell the tokens that it took (``stream_options``).
    """

    messages: list[Message]
    conversation: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    usage: bool = False

    @classmethod
    def read(cls, body: bytes, headers: Mapping[str, str]) -> ChatRequest:
        """Read a request's body.

        Raises:
            RequestError: Where it is no such request; the message names the field.
        """
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise RequestError(f"the body is no JSON: {error}") from None
        if not isinstance(data, dict):
            raise RequestError("the body must be a JSON object with 'messages'")
        messages = data.pop("messages", None)
        if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
            raise RequestError("'messages' must be a list of {'role': ..., 'content': ...}")
        refused = [name for name in _REFUSED if data.get(name)] + (["n"] if data.get("n") not in (None, 1) else [])
        if refused:
            raise RequestError(f"{refused[0]!r} is not supported here; leave it out")
        kwargs = data.pop("chatbot_kwargs", None) or {}
        if not isinstance(kwargs, dict):
            raise RequestError(
                "'chatbot_kwargs' must be an object: the keywords of the program's chatbot()", param="chatbot_kwargs"
            )
        conversation = headers.get(CONVERSATION_HEADER) or data.pop("conversation_id", None)
        if conversation is not None and not isinstance(conversation, str):
            raise RequestError("'conversation_id' must be a text")
        options = data.pop("stream_options", None) or {}
        if not isinstance(options, dict):
            raise RequestError("'stream_options' must be an object, as {'include_usage': true}", param="stream_options")
        stream, usage = bool(data.pop("stream", False)), bool(options.get("include_usage"))
        return cls(messages, conversation, kwargs, data, stream, usage)

    @property
    def user_text(self) -> str | None:
        """What the user says now, ``None`` where the last message is not the user's.

        Raises:
            RequestError: Where the message holds something else than text.
        """
        last = self.messages[-1] if self.messages else None
        if last is None or last["role"] != "user":
            return None
        content = last.get("content")
        if isinstance(content, list):
            if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
                raise RequestError("the user's message holds a part that is no text; a program takes text")
            return "".join(part["text"] for part in content)
        return content


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        text: The text, ``None`` where the program ended without one.
        model: What answered.
        input_tokens: Prompt tokens of all calls that the answer took.
        output_tokens: Completion tokens of these.
        cut: Whether the text ended at the limit.
        conversation: Id of the conversation, ``None`` where none is kept.
        data: What ``reply(data=)`` or ``EXIT`` handed over.
        greeting: What the program said before the user's first message reached it.
    """

    text: str | None
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cut: bool = False
    conversation: str | None = None
    data: Any = None
    greeting: str | None = None


def as_completion(answer: Answer) -> dict[str, Any]:
    """Return an answer as a ``chat.completion`` object."""
    message = {"role": "assistant", "content": answer.text or ""}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(answer)}
    return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer), **_extras(answer)}


def as_chunks(answer: Answer, *, usage: bool = False) -> list[dict[str, Any]]:
    """Return an answer as ``chat.completion.chunk`` objects: the text, its end, and what it took where that is asked.

    Args:
        answer: The answer.
        usage: Whether a last object, which has no choice, tells the tokens.
    """
    head = _head(answer, "chat.completion.chunk")
    delta = {"role": "assistant", "content": answer.text or ""}
    return [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **_extras(answer)},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": _reason(answer)}]},
        *([{**head, "choices": [], "usage": _usage(answer)}] if usage else []),
    ]


def as_error(message: str, status: int, param: str | None = None) -> dict[str, Any]:
    """Return an error as the API tells it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return False
    return isinstance(message.get("content"), (str, list)) or message["role"] == "assistant"


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
    }


def _reason(answer: Answer) -> str:
    return "length" if answer.cut else "stop"


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def _extras(answer: Answer) -> dict[str, Any]:
    if answer.conversation is None:
        return {}
    extras = {"conversation_id": answer.conversation, "ended": answer.text is None, "data": answer.data}
    return extras if answer.greeting is None else {**extras, "greeting": answer.greeting}
