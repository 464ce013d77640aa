"""Records a conversation of a program in ``v1/``: ``python -m tests.replay.record NAME``.

A recorded conversation is replayed for ever. Recording one again means that conversations which people have saved
stop resuming, so that this refuses to overwrite one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from autograms import Autogram, Memory
from autograms.models import Request, ScriptedModel

FOLDER = Path(__file__).parent / "v1"
USERS = [None, "first", "second", None, "fourth", "fifth", "sixth", "seventh"]
KWARGS = {"talking": {"name": "Ann"}, "together": {"name": "Bob"}}


def answer(request: Request) -> Any:
    """Answer by what is asked, the same for ever."""
    if request.choices:
        return request.choices[0]
    if request.params.get("tools") and request.messages[-1]["role"] != "tool":
        return {"tool_calls": _called(request)}
    if request.kind == "object":
        return {name: _value(schema) for name, schema in request.schema["properties"].items()}
    return f"answer to {request.messages[-1]['content'].split(': ')[-1]!r}"


def _called(request: Request) -> list[dict[str, Any]]:
    """Call every tool, the first one also with what it refuses and with what makes it fail."""
    names = [tool["function"]["name"] for tool in request.params["tools"]]
    given = {"lookup": {"order": 7}, "clock": {}}
    wrong = [("lookup", {"order": "x"}), ("lookup", {"order": 11}), ("nothing", {})] if names == ["lookup"] else []
    return [{"name": name, "arguments": arguments} for name, arguments in [*((n, given[n]) for n in names), *wrong]]


def _value(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("type") == "array":
        items = schema["items"]
        return [_value(items)] * 2
    if schema.get("type") == "object":
        return {name: _value(inner) for name, inner in schema["properties"].items()}
    return 3 if schema.get("type") == "integer" else "text"


def load(name: str) -> Autogram:
    """Return the autogram of a program in ``v1/``."""
    return Autogram.from_file(FOLDER / f"{name}.py", model=ScriptedModel(answer), supervisor_mode=True)


def record(name: str) -> dict[str, Any]:
    """Play a conversation; return its memory before the last turn, and what the last turn came to."""
    autogram = load(name)
    memory = Memory(autogram=name, seed=11)
    for text in USERS[:-1]:
        _, memory = autogram.reply(text, memory, **KWARGS.get(name, {}))
    saved = json.loads(autogram.serialize(memory))
    reply, memory = autogram.reply(USERS[-1], memory, **KWARGS.get(name, {}))
    return {
        "memory": saved,
        "user": USERS[-1],
        "reply": reply,
        "calls": [[call.primitive, call.output] for call in memory.calls],
        "prompts": [memory.prompt_messages(call.prompt) for call in memory.calls if call.kind != "step"],
    }


if __name__ == "__main__":
    target = FOLDER / f"{sys.argv[1]}.json"
    if target.exists():
        sys.exit(f"{target} is there already; a recorded conversation is never recorded again")
    target.write_text(json.dumps(record(sys.argv[1]), indent=1, ensure_ascii=False) + "\n")
