"""Calls of tools as models make them, in the chat API's own form.

    {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{\\"order\\": 7}"}}

What belongs here: bringing what endpoints, scripts and files write into that form, and that form into the one that chat
templates read. What does not: running tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from autograms.errors import OutputError

__all__ = ["read_tool_calls", "template_messages"]


def read_tool_calls(calls: Iterable[Any]) -> list[dict[str, Any]]:
    """Return calls of tools in the chat API's own form.

    Args:
        calls: Calls as the chat API has them, or ``{"name", "arguments"}`` alone; arguments may be a mapping. A call
            without an id gets one by its content.

    Raises:
        OutputError: Where a call has no name.
    """
    return [_read(place, call) for place, call in enumerate(calls)]


def _read(place: int, call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str):
        raise OutputError(f"a call of a tool has no name; expected a name and arguments, found {call!r:.200}")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps({} if arguments is None else arguments, ensure_ascii=False)
    identity = call.get("id")
    if not isinstance(identity, str) or not identity:
        content = f"{place}\0{name}\0{arguments}".encode(errors="surrogatepass")
        identity = f"call_{blake2b(content, digest_size=6).hexdigest()}"
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def template_messages(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return messages as chat templates read them: arguments of tools as mappings, and no content as an empty text.

    Messages without calls of tools are handed on as they are.
    """
    return [_for_template(message) if message.get("tool_calls") else message for message in messages]


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = [{**call, "function": _parsed(call.get("function") or {})} for call in message["tool_calls"]]
    return {**message, "content": message.get("content") or "", "tool_calls": calls}


def _parsed(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError):  # the model wrote no JSON: the template shows it as it is
            arguments = json.loads(arguments or "{}")
    return {**function, "arguments": arguments}
