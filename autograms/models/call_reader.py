"""Reading calls of tools in what a local model writes.

What belongs here: which parser fits a tokenizer's chat template, and its use. What does not: the calls' own form
(``tool_calls``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from autograms.errors import ModelError, OutputError
from autograms.models.tool_calls import read_tool_calls, shows_tools

__all__ = ["CallReader", "Called", "call_reader"]

Called = tuple[str, list[dict[str, Any]]]
"""What an answer says beside the tools that it calls, and these."""
CallReader = Callable[[list[int], list[int], list[dict[str, Any]]], "Called | None"]
"""From a prompt's tokens, an answer's and the tools to what is called, ``None`` where nothing is."""
_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def call_reader(tokenizer: Any, name: str) -> CallReader:
    """Return what reads calls of tools in a local model's answers.

    That is the tokenizer's own parser where it has a ``response_template``; else one for calls that are written as
    ``<tool_call>{...}</tool_call>``, once the chat template was seen to write such as are read back as they were.

    Args:
        tokenizer: The model's tokenizer.
        name: What messages call the model.

    Raises:
        ModelError: Where the chat template shows no tools, or writes calls in another form.
    """
    if not shows_tools(tokenizer):
        raise ModelError(
            f"checkpoint {name!r}: its chat template shows the model no tools; take a model whose template does"
        )
    if getattr(tokenizer, "response_template", None) is not None:
        return partial(_parsed_answer, tokenizer)
    function = {"name": "probe", "arguments": {"of": "what", "n": 7}}
    probe = {"id": "call_1", "type": "function", "function": function}
    asked = [{"role": "user", "content": "probe"}]
    finished = [*asked, {"role": "assistant", "content": "", "tool_calls": [probe, probe]}]
    schema = {"name": "probe", "description": "Probe.", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": schema}]
    try:
        before = tokenizer.apply_chat_template(asked, tools=tools, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(finished, tools=tools, tokenize=False)
        found = _read_text(whole.removeprefix(before))
    except Exception:  # a template may raise anything
        found = None
    if found is None or found[1] != read_tool_calls([function] * 2):
        raise ModelError(
            f"checkpoint {name!r}: its chat template writes calls of tools in a form that is not known here; give its "
            "tokenizer a response_template, or serve it at an endpoint that reads them (--base_url)"
        )
    return lambda prompt, written, offered: _read_text(tokenizer.decode(written))


def _read_text(text: str) -> Called | None:
    """Return what a text calls, where every call in it is one."""
    calls = []
    for written in _CALL.findall(text):
        try:
            calls.append(json.loads(written))
        except ValueError:
            return None
    try:
        return (text.partition("<tool_call>")[0].strip(), read_tool_calls(calls)) if calls else None
    except OutputError:
        return None


def _parsed_answer(tokenizer: Any, prompt: list[int], written: list[int], tools: list[dict[str, Any]]) -> Called | None:
    try:
        message = tokenizer.parse_response(written, prefix=prompt, tools=tools)
        calls = read_tool_calls(message.get("tool_calls") or ())
        return (str(message.get("content") or "").strip(), calls) if calls else None
    except (ValueError, TypeError, AttributeError):  # no message could be made of it: it is a text
        return None
