"""From recorded messages to the messages that go over the wire.

One function serves the live request and the training row, so that what is trained is what deployment asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

__all__ = ["wire_messages"]

_WIRE_ROLES = {"instruction": "user"}


def wire_messages(messages: Iterable[tuple[str, str, str | None]]) -> list[dict[str, Any]]:
    """Turn pool messages ``(role, content, extra)`` into chat API messages.

    An instruction travels as a user message. Neighbouring user texts are joined by an empty line, since many
    chat templates refuse two user messages in a row; messages with further fields are left as they are.
    """
    wire: list[dict[str, Any]] = []
    for role, content, extra in messages:
        role = _WIRE_ROLES.get(role, role)
        if extra is not None:
            wire.append({"role": role, "content": content, **json.loads(extra)})
        elif role == "user" and wire and wire[-1]["role"] == "user" and isinstance(wire[-1]["content"], str):
            wire[-1] = {"role": "user", "content": f"{wire[-1]['content']}\n\n{content}"}
        else:
            wire.append({"role": role, "content": content})
    return wire
