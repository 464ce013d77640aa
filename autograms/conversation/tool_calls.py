"""Calls of tools in a conversation's record.

Where a model calls tools instead of answering, its call has the kind ``tool_calls``, and its output is JSON text with
the ``content`` and the ``tool_calls`` of the message. What each tool gave stands behind it, in order, as a step named
``tool``. Where a supervisor gives the answer behind tools, what the model itself said is a ``draft``.

What belongs here: the way between that and the chat API's own messages. What does not: running tools (``primitives``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from autograms.errors import RecordError

if TYPE_CHECKING:
    from autograms.conversation.record import Call

__all__ = [
    "DRAFT",
    "TOOL",
    "TOOL_CALLS",
    "answer_message",
    "offered_tools",
    "readable",
    "result_message",
    "tool_calls_output",
    "tool_messages",
]

TOOL_CALLS = "tool_calls"
"""The kind of a call that the model answered by calling tools."""
DRAFT = "draft"
"""The kind of a call whose answer gave way to a supervisor's."""
TOOL = "tool"
"""The primitive of a step that ran a tool."""


def tool_calls_output(content: str | None, tool_calls: list[dict[str, Any]]) -> str:
    """Return the output of a call that was answered by calls of tools."""
    return json.dumps({"content": content or None, "tool_calls": tool_calls}, ensure_ascii=False)


def answer_message(kind: str, output: str) -> dict[str, Any]:
    """Return an answer as the assistant's message.

    Args:
        kind: The call's kind.
        output: Its output, or one that was rejected.

    Raises:
        RecordError: Where the kind is ``tool_calls``, and the output is none.
    """
    if kind != TOOL_CALLS:
        return {"role": "assistant", "content": output}
    try:
        message = json.loads(output)
        content, calls = message["content"], message["tool_calls"]
        for call in calls:
            "".join((call["id"], call["function"]["name"], call["function"]["arguments"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"the record is damaged: calls of tools ({type(error).__name__}: {error})") from None
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result_message(identity: str, step: Call) -> dict[str, Any]:
    """Return what a tool gave, or how it failed, as the message that the model is shown.

    Args:
        identity: Id of the call of the tool.
        step: The step that ran it.
    """
    if step.error is not None:
        content = f"Error: {step.error.removeprefix('ToolCallError: ')}"
    else:
        value = step.value()
        content = value if isinstance(value, str) else step.output or ""
    return {"role": "tool", "content": content, "tool_call_id": identity}


def offered_tools(params: str | None) -> list[dict[str, Any]] | None:
    """Return the tools that a call offered the model, in the chat API's form; ``None`` where there were none.

    Args:
        params: The call's keywords of the chat API, as JSON text.

    Raises:
        RecordError: Where they are no JSON object, or the tools no list of such.
    """
    if params is None or '"tools"' not in params:
        return None
    try:
        tools = json.loads(params).get("tools") or None
        if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
            raise TypeError("tools is no list of objects")
    except (ValueError, TypeError, AttributeError) as error:
        raise RecordError(f"the record is damaged: the keywords of a call ({error})") from None
    return tools


def tool_messages(calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """Yield the messages of the tools that a program's calls ran, supervisors' calls left out."""
    for place, call in enumerate(calls):
        if call.kind != TOOL_CALLS or call.parent is not None or call.output is None:
            continue
        message = answer_message(call.kind, call.output)
        steps = takewhile(lambda step: step.primitive == TOOL, calls[place + 1 :])
        results = [result_message(item["id"], step) for item, step in zip(message["tool_calls"], steps, strict=False)]
        if results:
            yield message
            yield from results


def readable(message: Mapping[str, Any]) -> str:
    """Return a message as people read it: its text, and what it calls, a line each."""
    content = message.get("content")
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())
    called = [f"calls {_written(call)}" for call in message.get("tool_calls") or ()]
    return "\n".join([*([text] if text else []), *called])


def _written(call: Mapping[str, Any]) -> str:
    """Return a call nearly as Python would have it, arguments by name; as the model wrote it where it is no JSON."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return f"{name}({arguments})"
    written = (f"{key}={json.dumps(value, ensure_ascii=False, sort_keys=True)}" for key, value in sorted(given.items()))
    return f"{name}({', '.join(written)})"
