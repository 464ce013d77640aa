"""A model that hands out prepared outputs: for tests of programs, this project's and its users'."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from autograms.errors import ModelError
from autograms.models.base import Reply, Request
from autograms.models.tool_calls import read_tool_calls

__all__ = ["ScriptedModel"]


class ScriptedModel:
    """Answers with the given outputs, in order, and keeps every request.

    Args:
        outputs: A text, a choice's text, or a JSON text (or a mapping) for an object; a list stands for an API
            that returns several answers, the first of which is used. Where a request offers tools,
            ``{"tool_calls": [{"name": ..., "arguments": {...}}, ...]}`` calls them, with a text as ``"content"`` where
            one goes with it. Or a function from the request to the output.
        name: The name that records show.

    Attributes:
        requests: Every :class:`~autograms.models.Request` that was made, in order.
    """

    def __init__(self, outputs: Iterable[Any] | Callable[[Request], Any] = (), *, name: str = "scripted/model") -> None:
        self.name = name
        self.requests: list[Request] = []
        self._function = outputs if callable(outputs) else None
        self._outputs = iter(()) if callable(outputs) else iter(list(outputs))

    async def complete(self, request: Request) -> Reply:
        """Return the next prepared output.

        Raises:
            ModelError: Where no output is left.
        """
        self.requests.append(request)
        if self._function is not None:
            output = self._function(request)
        else:
            try:
                output = next(self._outputs)
            except StopIteration:
                raise ModelError(
                    f"ScriptedModel has no output left for call {len(self.requests)} "
                    f"({request.kind}: {str(request.messages[-1]['content'])[:80]!r}); give it one more"
                ) from None
        if isinstance(output, list):
            output = output[0]
        calls: list[dict[str, Any]] | None = None
        if isinstance(output, Mapping) and output.get("tool_calls") and request.params.get("tools"):
            calls, output = read_tool_calls(output["tool_calls"]), output.get("content") or ""
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        words = sum(len(str(message["content"]).split()) for message in request.messages)
        certain = [float(choice == text) for choice in request.choices] or None
        return Reply(text, request.model or self.name, words, len(text.split()), 0.0, certain, tool_calls=calls)

    async def embed(self, texts: list[str], *, model: str | None = None) -> list[list[float]]:
        """Return one short vector for each text, made from its characters."""
        return [[float(len(text)), float(sum(map(ord, text)) % 997)] for text in texts]

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""
