"""Who answers a chat request: a program in a conversation, or a model alone.

What does not belong here: HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from autograms.errors import ModelError
from autograms.models.base import Model, Request, read_output
from autograms.models.local import Generation
from autograms.serving.chat_api import Answer, ChatRequest, RequestError
from autograms.serving.conversations import Conversations

__all__ = ["ModelTalker", "ProgramTalker", "Talker"]

_PASSED_ON = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed")


class Talker(Protocol):
    """Something that answers chat requests."""

    name: str
    """What the endpoint calls it: the ``model`` of requests and answers."""

    @property
    def files(self) -> Sequence[str]:
        """The program's source files, so that its errors name their line."""
        ...

    async def answer(self, request: ChatRequest) -> Answer:
        """Answer one request.

        Raises:
            AutogramsError: Where it cannot be answered.
        """
        ...

    async def close(self) -> None:
        """Give back what is held."""
        ...


class ProgramTalker:
    """An autogram: the program decides what the model is asked, and what the user sees.

    The last user message is what the user says now. What was said before is the conversation's memory, found by its
    id, never what the client sends along.

    Args:
        name: What the endpoint calls it.
        conversations: Its conversations.
    """

    def __init__(self, name: str, conversations: Conversations) -> None:
        self.name = name
        self._conversations = conversations

    @property
    def files(self) -> Sequence[str]:
        """The program's source files."""
        return self._conversations.autogram.files

    async def answer(self, request: ChatRequest) -> Answer:
        """Take the conversation's next turn."""
        earlier = any(message["role"] in ("assistant", "tool") for message in request.messages)
        if earlier and request.conversation is None:
            raise RequestError(
                "the messages hold earlier turns, and a program goes on from its memory: send the conversation's id "
                "(the header X-Conversation-Id, or 'conversation_id'), which each answer carries"
            )
        if request.messages and request.user_text is None:
            raise RequestError("the last message must be the user's (or send no message, for the program to begin)")
        taken = await self._conversations.turn(
            request.conversation, request.user_text, request.kwargs, begins=not earlier
        )
        calls, data = taken.memory.calls[taken.calls :], taken.memory.turns[-1].data
        return Answer(
            taken.said,
            self.name,
            sum(call.input_tokens for call in calls),
            sum(call.output_tokens for call in calls),
            conversation=taken.identity,
            data=None if data is None else orjson.loads(data),
            greeting=taken.greeting,
        )

    async def close(self) -> None:
        """End the programs that live on, and close their model."""
        self._conversations.close()
        await self._conversations.autogram.model.close()


class ModelTalker:
    """A model alone, without a program and without memory.

    Args:
        name: What the endpoint calls it.
        model: The model.
        max_tokens: Longest answer where a request sets none.
    """

    files: Sequence[str] = ()

    def __init__(self, name: str, model: Model, *, max_tokens: int = 256) -> None:
        self.name = name
        self._model = model
        self._max_tokens = max_tokens

    async def answer(self, request: ChatRequest) -> Answer:
        """Answer the messages."""
        if not request.messages:
            raise RequestError("'messages' is empty; a model needs something to answer")
        params = {name: request.params[name] for name in _PASSED_ON if request.params.get(name) is not None}
        try:
            limit = Generation.from_params(params, max_tokens=self._max_tokens).max_tokens
        except ModelError as error:
            raise RequestError(str(error)) from None
        schema = _schema(request.params.get("response_format"))
        wanted = Request("text" if schema is None else "object", request.messages, schema=schema, params=params)
        wanted.params["max_tokens"] = limit
        reply = await self._model.complete(wanted)
        return Answer(
            read_output(wanted, reply.text),
            self.name,
            reply.input_tokens,
            reply.output_tokens,
            cut=reply.output_tokens >= limit,
        )

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()


def _schema(form: Any) -> dict[str, Any] | None:
    """Return the JSON schema that an answer is asked to follow, ``None`` for free text."""
    kind = form.get("type") if isinstance(form, dict) else None
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    schema = form["json_schema"].get("schema") if kind == "json_schema" and _holds_schema(form) else None
    if not isinstance(schema, dict):
        raise RequestError("'response_format' must be of type text, json_object, or json_schema with a schema")
    return schema


def _holds_schema(form: dict[str, Any]) -> bool:
    return isinstance(form.get("json_schema"), dict)
