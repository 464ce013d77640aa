"""The rows that train: their Arrow schemas, and the messages in them.

What belongs here: the form of a row. What does not: which rows there are (``build``) and other formats (``export``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

__all__ = ["DPO_SCHEMA", "MESSAGE", "SFT_SCHEMA", "chat_messages", "row_message", "row_tools"]

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string())])
"""A chat message; ``extra`` is JSON text with its further fields, ``content`` among them where it is no text."""

_LINEAGE: list[tuple[str, pa.DataType]] = [
    ("id", pa.string()),
    ("autogram", pa.string()),
    ("scenario", pa.string()),
    ("call", pa.int32()),
    ("primitive", pa.string()),
    ("place", pa.string()),
    ("split", pa.string()),
    ("kind", pa.string()),
    ("prompt", pa.list_(MESSAGE)),
]
_ABOUT: list[tuple[str, pa.DataType]] = [
    ("choices", pa.list_(pa.string())),
    ("schema", pa.string()),
    ("supervisor", pa.string()),
    ("score", pa.float64()),
    ("tags", pa.list_(pa.string())),
    ("model", pa.string()),
    ("cost_usd", pa.float64()),
    ("tools", pa.string()),
]
_VERSION: dict[bytes | str, bytes | str] = {b"autograms.rows_version": b"1"}

SFT_SCHEMA = pa.schema([*_LINEAGE, ("completion", pa.string()), *_ABOUT], metadata=_VERSION)
"""One row a trained call: what the model sees and what it should answer.

``tools`` is JSON text with the tools that the call offered the model, in the chat API's form. In a row of the kind
``tool_calls`` the completion is JSON text with the ``content`` and the ``tool_calls`` of the assistant's message.
"""

DPO_SCHEMA = pa.schema([*_LINEAGE, ("chosen", pa.string()), ("rejected", pa.string()), *_ABOUT], metadata=_VERSION)
"""One row a pair: what the model sees, the better answer and a worse one."""


def row_message(message: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return a chat API message as the values of :data:`MESSAGE`."""
    content = message.get("content")
    if len(message) == 2 and isinstance(content, str):
        return message["role"], content, None
    text = content if isinstance(content, str) else None
    further = {name: value for name, value in message.items() if name not in ("role", "content") and value is not None}
    if content is not None and text is None:
        further["content"] = content
    return message["role"], text, json.dumps(further, ensure_ascii=False) if further else None


def row_tools(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the tools that a row offers in the chat API's form, ``None`` where it offers none."""
    text = row.get("tools")
    return json.loads(text) if isinstance(text, str) else None


def chat_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row's prompt as chat API messages: the same that the deployed program sends.

    Args:
        messages: The ``prompt`` of a row, as Arrow's ``to_pylist`` or pandas give it.
    """
    wire = []
    for message in messages:
        chat = {"role": message["role"], "content": message["content"]}
        if message.get("extra") is not None:
            chat.update(json.loads(message["extra"]))
        wire.append(chat)
    return wire
