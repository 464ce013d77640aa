"""Conversations that AutoGRAMS recorded, as memories.

What belongs here: making a memory of AutoGRAMS' own saved dictionary, once it is known to be plain data. What does
not: reading files (``pickle_file``). AutoGRAMS does not record which calls a supervisor made for itself, so a dataset
of such memories wants ``require_supervisor``.
"""

from __future__ import annotations

import json
from typing import Any

from autograms.conversation.record import NONE, Call, Memory, Prompt, Turn
from autograms.errors import RecordError

__all__ = ["is_foreign", "memory_from_foreign"]

_KINDS = {
    "call_model": ("reply_instruction", "text"),
    "call_chat_completion": ("call_chat_completion", "text"),
    "call_completion": ("call_completion", "text"),
    "call_classifier": ("multiple_choice", "choice"),
    "call_object_model": ("generate_object", "object"),
}


def is_foreign(data: Any) -> bool:
    """Whether the data is a conversation as AutoGRAMS saves it."""
    return isinstance(data, dict) and "model_turns" in data and "calls" not in data


def memory_from_foreign(data: dict[str, Any]) -> Memory:
    """Return the memory of a conversation that AutoGRAMS saved.

    Its program's stack is left behind: such a memory trains and is shown, but does not resume.

    Raises:
        RecordError: Where an entry is not what AutoGRAMS writes; the message numbers it.
    """
    reader = _Reader()
    for index, entry in enumerate(data["model_turns"]):
        try:
            reader.read(entry)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise RecordError(
                f"entry {index} of 'model_turns' is not as AutoGRAMS writes it: {type(error).__name__}: {error}"
            ) from None
    return reader.memory


class _Reader:
    def __init__(self) -> None:
        self.memory = Memory()
        self._messages: dict[tuple[str, str, str | None], int] = {}
        self._nodes: dict[tuple[int, int], int] = {}

    def read(self, entry: dict[str, Any]) -> None:
        kind = entry["entry_type"]
        if kind == "user_reply":
            self._say("user", entry["user_reply"])
        elif kind == "agent_reply":
            self._say("assistant", entry["reply"])
        elif kind == "model" and entry["function_name"] in _KINDS:
            self._call(entry)

    def _say(self, role: str, content: str | None) -> None:
        self.memory.turns.append(Turn(role, content, len(self.memory.calls)))

    def _call(self, entry: dict[str, Any]) -> None:
        primitive, kind = _KINDS[entry["function_name"]]
        inputs, supervisor = entry["function_inputs"], entry.get("supervisor_info")
        choices = tuple(inputs.get("answer_choices") or ())
        output = _first(entry["output"])
        if choices == ("Yes", "No"):
            primitive = "yes_or_no"
        self.memory.calls.append(
            Call(
                primitive,
                "text" if kind == "choice" and output not in choices else kind,
                self._prompt(_wire(inputs)),
                output,
                choices=choices,
                supervised=supervisor is not None,
                score=(supervisor or {}).get("score"),
                rejected=tuple(_listed((supervisor or {}).get("rejected_output"))),
                tags=tuple(_listed((supervisor or {}).get("tags"))),
            )
        )

    def _prompt(self, wire: list[tuple[str, str, str | None]]) -> Prompt:
        system = self._message(wire.pop(0)) if wire and wire[0][0] == "system" else NONE
        ask = self._message(wire.pop()) if wire and wire[-1][0] == "user" else NONE
        first = last = NONE
        for message in wire:
            node = (last, self._message(message))
            if node not in self._nodes:
                self._nodes[node] = len(self.memory.history)
                self.memory.history.append(node)
            last = self._nodes[node]
            first = last if first == NONE else first
        return Prompt(system, first, last, ask)

    def _message(self, message: tuple[str, str, str | None]) -> int:
        if message not in self._messages:
            self._messages[message] = len(self.memory.messages)
            self.memory.messages.append(message)
        return self._messages[message]


def _wire(inputs: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    if "prompt" in inputs:
        return [("user", inputs["prompt"], None)]
    if "messages" in inputs:
        return [_message(message["role"], message["content"], None) for message in inputs["messages"]]
    asked, answered = inputs["input_turns"], inputs["output_turns"]
    wire = [("system", inputs["system_prompt"], None)] if inputs.get("system_prompt") is not None else []
    for question, answer in zip(asked, answered, strict=False):
        wire += [("user", question, None), ("assistant", answer, None)]
    return [*wire, _message("user", asked[-1], inputs.get("multi_modal_inputs"))]


def _message(role: str, content: Any, parts: list[Any] | None) -> tuple[str, str, str | None]:
    if isinstance(content, str) and not parts:
        return (role, content, None)
    listed = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    listed += parts or []
    if len(listed) == 1 and listed[0].get("type") == "text":
        return (role, listed[0]["text"], None)
    text = next((part["text"] for part in listed if part.get("type") == "text"), "")
    return (role, text, json.dumps({"content": listed}, ensure_ascii=False))


def _first(output: Any) -> str | None:
    value = output[0] if isinstance(output, list) and output else output
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [text for item in (value if isinstance(value, (list, tuple)) else [value]) if (text := _first(item))]
