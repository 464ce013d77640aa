"""Calls of tools as models make them, in the chat API's own form.

    {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{\\"order\\": 7}"}}

What belongs here: bringing what endpoints, scripts and files write into that form, and that form into the one that chat
templates read. What does not: running tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from autograms.errors import OutputError

__all__ = [
    "WRITTEN",
    "read_tool_calls",
    "shows_tools",
    "template_messages",
    "with_mappings",
    "written_call",
]

WRITTEN = "<tool_call>"
"""What opens a call of a tool in the text that most models write; an answer's text never holds one that was read."""


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
    return [
        {**message, "content": message.get("content") or ""} if message.get("tool_calls") else message
        for message in with_mappings(messages)
    ]


def with_mappings(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return messages with the arguments of their calls of tools as mappings, others as they are."""
    return [
        {**message, "tool_calls": list(map(_parsed, message["tool_calls"]))} if message.get("tool_calls") else message
        for message in messages
    ]


def _parsed(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call
    try:
        return {**call, "function": {**function, "arguments": json.loads(function["arguments"] or "{}")}}
    except ValueError:  # the model wrote no JSON: it is shown as it is
        return call


def written_call(call: Mapping[str, Any]) -> str:
    """Return a call of a tool as most chat templates write it.

    Args:
        call: The call, its arguments a mapping.
    """
    function = call.get("function") or {}
    written = {"name": function.get("name"), "arguments": function.get("arguments")}
    return f"{WRITTEN}{json.dumps(written, ensure_ascii=False)}</tool_call>"


def shows_tools(tokenizer: Any) -> bool:
    """Whether a tokenizer's chat template shows the model the tools that are offered."""
    return "tools" in str(tokenizer.get_chat_template(tools=[{}]))
