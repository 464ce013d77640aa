"""From recorded messages to the messages that go over the wire.

One function serves the live request and the training row, so that what is trained is what deployment asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["add_to_wire", "pool_message", "wire_messages"]


def wire_messages(messages: Iterable[tuple[str, str, str | None]]) -> list[dict[str, Any]]:
    """Turn pool messages ``(role, content, extra)`` into chat API messages."""
    wire: list[dict[str, Any]] = []
    for message in messages:
        add_to_wire(wire, message)
    return wire


def add_to_wire(wire: list[dict[str, Any]], message: tuple[str, str, str | None]) -> None:
    """Append a pool message to chat API messages.

    An instruction travels as a user message. Neighbouring user texts are joined by an empty line, since many
    chat templates refuse two user messages in a row; messages with further fields are left as they are. The
    mappings in ``wire`` are never changed, so that lists may share them.
    """
    role, content, extra = message
    if role == "instruction":
        role = "user"
    if extra is not None:
        wire.append({"role": role, "content": content, **json.loads(extra)})
    elif role == "user" and wire and wire[-1]["role"] == "user" and isinstance(wire[-1]["content"], str):
        wire[-1] = {"role": "user", "content": f"{wire[-1]['content']}\n\n{content}"}
    else:
        wire.append({"role": role, "content": content})


def pool_message(message: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Return a chat API message as the pool's: :func:`add_to_wire` makes the same message of it again."""
    content = message.get("content")
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    if isinstance(content, str) and not rest:
        return message["role"], content, None
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])
    extra = {**({} if isinstance(content, str) else {"content": content}), **rest}
    return message["role"], text, json.dumps(extra, ensure_ascii=False)
