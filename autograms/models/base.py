"""What a model is: the request that a program makes, the reply, and the protocol between them.

What does not belong here: how any one provider is reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from autograms.errors import OutputError

__all__ = ["Kind", "Later", "Message", "Model", "Reply", "Request", "identity_of", "read_output"]

Kind = Literal["text", "choice", "object"]
Message = dict[str, Any]
"""A chat message as it goes over the wire: ``{"role": ..., "content": ...}``, as in OpenAI's chat completions API."""


class Later(Protocol):
    """Where a request waits for a batch instead of being sent at once."""

    async def post(self, endpoint: Any, model: str, body: bytes) -> dict[str, Any]:
        """Return the endpoint's answer, as it would be to the same body sent at once.

        Args:
            endpoint: The batch API of the model's endpoint (``autograms.models.batches.BatchApi``).
            model: The model's name there.
            body: JSON.

        Raises:
            ModelError: Where no answer was had.
        """
        ...


@dataclass(slots=True)
class Request:
    """One model call.

    Attributes:
        kind: ``"text"`` for free text, ``"choice"`` for one of ``choices``, ``"object"`` for JSON that follows
            ``schema``.
        messages: What the model sees, exactly as it is sent, the instruction last.
        choices: The allowed answers of a ``"choice"``; the model answers with the text of one.
        schema: The JSON schema of an ``"object"``.
        schema_name: The schema's name, for APIs that want one.
        model: A model other than the default one, or ``None``.
        params: Further keywords of the chat API (``temperature``, ``max_tokens``, ``stop``, ...).
        check: A further test of the answer in canonical form; raises :class:`OutputError`.
        later: Takes the request for a batch, where its model's endpoint has such an API; sent at once where unset.
    """

    kind: Kind
    messages: list[Message]
    choices: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    schema_name: str = "answer"
    model: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    check: Callable[[str], Any] | None = field(default=None, repr=False, compare=False)
    later: Later | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class Reply:
    """A model's answer to one :class:`Request`.

    Attributes:
        text: The answer as the model wrote it; the first, where the API returned several.
        model: The name of the model that answered, ``provider/model``.
        input_tokens: Prompt tokens that were counted for the call.
        output_tokens: Completion tokens that were counted for the call.
        cost_usd: Price of the call in US dollars, or ``None`` where no price is known.
        probabilities: For a choice, the probability of each of ``choices`` where the endpoint told it.
        tries: How many answers were paid for until one was of the form asked for.
        tool_calls: The tools that the model calls instead of answering, in the chat API's own form; ``text`` is what it
            says beside that. Only where ``params["tools"]`` offered some.
    """

    text: str
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    probabilities: list[float] | None = None
    tries: int = 1
    tool_calls: list[dict[str, Any]] | None = None


@runtime_checkable
class Model(Protocol):
    """Something that answers requests. One instance serves any number of conversations at once."""

    name: str
    """``provider/model``, as settings and records name it."""

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            ModelError: Where no answer could be had. Errors that may pass were retried already.
        """
        ...

    async def embed(self, texts: list[str], *, model: str | None = None) -> list[list[float]]:
        """Return one embedding for each text.

        Raises:
            ModelError: Where the model has no embeddings or the endpoint failed.
        """
        ...

    async def close(self) -> None:
        """Give back connections and memory. The model can be used again afterwards."""
        ...


def identity_of(model: Model, name: str | None = None) -> str:
    """Return what tells a model from any other: its name, and where one name may mean several models, which it is.

    Args:
        model: The model. Its attribute ``origin`` says which, where it has one: an endpoint's URL without credentials,
            or the version of a folder's files; it is empty where the name says all.
        name: The name that a request gives, where it is not the model's own.
    """
    origin = getattr(model, "origin", "")
    return f"{name or model.name}@{origin}" if origin else name or model.name


def read_output(request: Request, text: str) -> str:
    """Return the answer in its canonical form: a choice's text, a JSON text, or the text as it is.

    Raises:
        OutputError: Where the text is none of the choices or not a JSON object.
    """
    if request.kind == "choice":
        text = _read_choice(request.choices, text)
    elif request.kind == "object":
        text = _read_object(text)
    if request.check is not None:
        request.check(text)
    return text


def _read_choice(choices: tuple[str, ...], text: str) -> str:
    if text in choices:
        return text
    wanted = _plain(text)
    for choice in choices:
        if _plain(choice) == wanted:
            return choice
    first = _plain(text.strip().splitlines()[0]) if text.strip() else ""
    starts = [choice for choice in choices if first and first.split(",")[0].strip() == _plain(choice)]
    if len(starts) == 1:
        return starts[0]
    raise OutputError(f"the model answered {text[:200]!r}; expected one of {list(choices)!r}")


def _plain(text: str) -> str:
    return text.strip().strip("\"'`*.-: \n").casefold()


def _read_object(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith("```"):
        stripped = stripped.strip("`").removeprefix("json").strip()
    try:
        value = json.loads(stripped)
    except ValueError as error:
        raise OutputError(f"the model answered {text[:200]!r}; expected a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise OutputError(f"the model answered {text[:200]!r}; expected a JSON object, not a {type(value).__name__}")
    return stripped
