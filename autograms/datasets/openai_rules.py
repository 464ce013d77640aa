"""OpenAI's rules for finetuning files, checked before anything is uploaded.

What belongs here: the documented form of SFT and DPO files. What does not: writing them (``export``) and uploading them
(``autograms.finetuning``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from autograms.errors import DatasetError

__all__ = ["FEWEST_EXAMPLES", "check_openai_file", "require_openai_file"]

FEWEST_EXAMPLES = 10
_MOST_SHOWN = 20
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_MESSAGE_KEYS = {
    "role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call", "refusal", "audio",
}  # fmt: skip
_ROW_KEYS = {
    "sft": {"messages", "tools", "parallel_tool_calls", "functions", "response_format"},
    "dpo": {"input", "preferred_output", "non_preferred_output"},
}


def require_openai_file(path: Path, *, kind: Literal["sft", "dpo"] = "sft", fewest: int = FEWEST_EXAMPLES) -> int:
    """Refuse a file that OpenAI's rules refuse.

    Args:
        path: The JSONL file.
        kind: ``sft`` or ``dpo``.
        fewest: Examples that a file must hold; 1 for a validation file.

    Returns:
        How many examples the file holds.

    Raises:
        DatasetError: Where there are problems; the message gives each with its line number.
    """
    problems = check_openai_file(path, kind=kind, fewest=fewest)
    if problems:
        more = f"\n  and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        listed = "\n  ".join(problems[:_MOST_SHOWN])
        raise DatasetError(f"{path} breaks the rules for finetuning files; nothing was uploaded:\n  {listed}{more}")
    with path.open("rb") as file:
        return sum(1 for _ in file)


def check_openai_file(path: Path, *, kind: Literal["sft", "dpo"] = "sft", fewest: int = FEWEST_EXAMPLES) -> list[str]:
    """Return what OpenAI's rules refuse in a file, each with its line number; empty for a file that passes.

    Args:
        path: The JSONL file.
        kind: ``sft`` or ``dpo``.
        fewest: Examples that a file must hold.

    Raises:
        DatasetError: Where the file is missing.
    """
    problems = []
    count = 0
    try:
        with path.open(encoding="utf-8") as file:
            for count, line in enumerate(file, start=1):
                problems += [f"line {count}: {problem}" for problem in _line_problems(line, kind)]
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; export the rows first") from None
    except UnicodeDecodeError as error:
        return [*problems, f"line {count + 1}: not UTF-8 ({error.reason})"]
    if count < fewest:
        problems.append(f"the file holds {count} examples; at least {fewest} are needed")
    return problems


def _line_problems(line: str, kind: str) -> Iterator[str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        yield f"no JSON: {error}"
        return
    if not isinstance(row, dict):
        yield f"expected an object, found a {type(row).__name__}"
        return
    yield from _unknown(row, _ROW_KEYS[kind], "the row")
    yield from _sft_problems(row) if kind == "sft" else _dpo_problems(row)


def _unknown(value: dict[str, Any], known: set[str], where: str) -> Iterator[str]:
    for key in value:
        if key not in known:
            yield f"{where} has the unknown key {key!r}"


def _sft_problems(row: dict[str, Any]) -> Iterator[str]:
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "expected a list of messages under 'messages'"
        return
    for number, message in enumerate(messages, start=1):
        yield from _message_problems(message, f"message {number}")
    yield from _tools_problems(row.get("tools"))
    yield from _order_problems(messages, "message")
    answers = [message for message in messages if isinstance(message, dict) and message.get("role") == "assistant"]
    if not answers or messages[-1] is not answers[-1]:
        yield "the last message must be the assistant's"
    elif all(message.get("weight", 1) == 0 for message in answers):
        yield "every assistant message has weight 0, so nothing would train"


def _dpo_problems(row: dict[str, Any]) -> Iterator[str]:
    asked = row.get("input")
    messages = asked.get("messages") if isinstance(asked, dict) else None
    if not isinstance(messages, list) or not messages:
        yield "expected a list of messages under 'input', 'messages'"
    else:
        for number, message in enumerate(messages, start=1):
            yield from _message_problems(message, f"input message {number}", weighted=False)
        yield from _tools_problems(asked.get("tools") if isinstance(asked, dict) else None)
        yield from _order_problems(messages, "input message")
        if isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
            yield "the last message of the input must not be the assistant's"
    for side in ("preferred_output", "non_preferred_output"):
        yield from _output_problems(row.get(side), side)
    if "preferred_output" in row and row["preferred_output"] == row.get("non_preferred_output"):
        yield "both outputs are the same"


def _output_problems(output: Any, side: str) -> Iterator[str]:
    if not isinstance(output, list) or len(output) != 1:
        yield f"{side} must be a list of one assistant message"
        return
    yield from _message_problems(output[0], side, weighted=False)
    if isinstance(output[0], dict) and output[0].get("role") != "assistant":
        yield f"{side} must be the assistant's"


def _message_problems(message: Any, where: str, *, weighted: bool = True) -> Iterator[str]:
    if not isinstance(message, dict):
        yield f"{where} is no object"
        return
    yield from _unknown(message, _MESSAGE_KEYS, where)
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        yield f"{where} has the role {role!r}; expected one of {', '.join(_ROLES)}"
    if content is None and not (role == "assistant" and (message.get("tool_calls") or message.get("function_call"))):
        yield f"{where} has no content"
    elif content is not None and not isinstance(content, (str, list)):
        yield f"{where}: content must be a text or a list of parts, not a {type(content).__name__}"
    elif role == "user" and content in ("", []):
        yield f"{where} is empty"
    if "weight" in message and not (weighted and role == "assistant"):
        yield f"{where} has a weight; only an SFT file's assistant messages may"
    elif "weight" in message and (isinstance(message["weight"], bool) or message["weight"] not in (0, 1)):
        yield f"{where} has the weight {message['weight']!r}; expected the integer 0 or 1"
    elif isinstance(message.get("weight"), float):
        yield f"{where} has the weight {message['weight']!r}; it must be an integer"
    if role == "tool" and not message.get("tool_call_id"):
        yield f"{where} is a tool's and has no tool_call_id"
    if message.get("tool_calls") is not None:
        yield from _call_problems(message["tool_calls"], where)


def _call_problems(calls: Any, where: str) -> Iterator[str]:
    if not isinstance(calls, list) or not calls:
        yield f"{where}: tool_calls must be a list of calls"
        return
    for call in calls:
        function: Any = call.get("function") if isinstance(call, dict) else None
        named = isinstance(function, dict) and isinstance(function.get("name"), str)
        if not named or not call.get("id") or call.get("type") != "function":
            yield f"{where}: a call of a tool needs an id, the type 'function', and the function's name and arguments"
        elif not isinstance(function.get("arguments"), str):
            yield f"{where}: the arguments of {function['name']!r} must be JSON text"


def _tools_problems(tools: Any) -> Iterator[str]:
    if tools is None:
        return
    if not isinstance(tools, list):
        yield f"tools must be a list, not a {type(tools).__name__}"
        return
    for number, tool in enumerate(tools, start=1):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            yield f"tool {number} is not of the form {{'type': 'function', 'function': {{'name': ...}}}}"


def _order_problems(messages: list[Any], what: str) -> Iterator[str]:
    """Find calls of tools without a result, and results that nobody called for; the last message needs none."""
    waiting: set[str] = set()
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            continue
        if message.get("role") == "tool":
            identity = message.get("tool_call_id")
            if identity and identity not in waiting:
                yield f"{what} {number} is the result of {identity!r}, which no message before it calls"
            waiting.discard(str(identity))
            continue
        if waiting:
            yield f"{what} {number} comes before the results of {', '.join(sorted(waiting))}"
        calls = message.get("tool_calls")
        waiting = (
            {str(call.get("id")) for call in calls if isinstance(call, dict)} if isinstance(calls, list) else set()
        )
