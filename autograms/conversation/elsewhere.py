"""Conversations that happened elsewhere: chat files of OpenAI, ShareGPT and TRL, as memories.

    {"messages": [...]}                                           OpenAI, TRL
    {"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}      OpenAI, preferences
    {"conversations": [{"from": "human", "value": "..."}, ...]}   ShareGPT; with "chosen" and "rejected" preferences
    {"prompt": ..., "completion": ...}                            TRL; messages or texts
    {"prompt": ..., "chosen": ..., "rejected": ...}               TRL, preferences; messages or texts

A file holds one such object a line, or a JSON list of them. ``"weight": 0`` on an assistant message says that it is
context and not to be learned, 1 (or none) that it is. What belongs here: reading them; a file is read whole or
refused, with its lines. What does not: AutoGRAMS' own files (``foreign``), and writing such files
(``autograms.datasets``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from autograms.conversation.record import NONE, Call, Memory, Prompt, Turn
from autograms.conversation.tool_calls import TOOL_CALLS, tool_calls_output
from autograms.errors import RecordError

__all__ = ["Answers", "Imported", "read_chats"]

Answers = Literal["all", "last"]
"""Which assistant messages of a conversation are to be learned, where its messages carry no weights."""

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_SHAREGPT_ROLES = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant",
    "assistant": "assistant",
}  # fmt: skip
_PARAMS = ("tools", "parallel_tool_calls", "functions", "response_format")
_MOST_SHOWN = 20
_FORMS = (
    "'messages' (OpenAI, TRL), 'input' with 'preferred_output' and 'non_preferred_output' (OpenAI), 'conversations' "
    "(ShareGPT), or 'prompt' with 'completion' or with 'chosen' and 'rejected' (TRL)"
)
_Message = tuple[str, str, str | None]
_Wire = list[dict[str, Any]]


@dataclass(slots=True)
class Imported:
    """What a file held.

    Attributes:
        memories: Its conversations.
        answers: Answers in them that can be learned.
        ignored: Fields that mean nothing here, with the number of lines that have them.
    """

    memories: list[Memory] = field(default_factory=list)
    answers: int = 0
    ignored: Counter[str] = field(default_factory=Counter)


class _Refused(Exception):
    """Why a line is refused."""


def read_chats(path: Path, *, name: str | None = None, answers: Answers = "all") -> Imported:
    """Read a file of conversations that happened elsewhere.

    Args:
        path: The file: JSON lines, or a JSON list.
        name: The name that the conversations get in place of an autogram's; the file's stem where unset.
        answers: Which assistant messages are to be learned, where none has a ``weight``.

    Raises:
        RecordError: Where the file is missing, or any line is none of the known forms; each is numbered.
    """
    imported, problems = Imported(), []
    for place, text in _lines(path):
        try:
            row = _object(text)
            memory = _memory(row, answers, imported.ignored)
        except _Refused as problem:
            problems.append(f"{place}: {problem}")
            continue
        memory.autogram = name or path.stem
        memory.scenario_data = json.dumps({"file": path.name, "place": place}, ensure_ascii=False)
        imported.memories.append(memory)
        imported.answers += len(memory.calls)
    if problems:
        more = f"\n  and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        listed = "\n  ".join(problems[:_MOST_SHOWN])
        raise RecordError(f"{path} is refused; nothing was imported:\n  {listed}{more}")
    if not imported.memories:
        raise RecordError(f"{path} holds no conversations: expected a line for each, with {_FORMS}")
    return imported


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Return what stands in each line, or each item, with a name for the place."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    if text.lstrip().startswith("["):
        try:
            yield from ((f"item {number}", item) for number, item in enumerate(json.loads(text), start=1))
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{path} begins as a JSON list, but is none: {error}") from None
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", line


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _Refused(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise _Refused(f"expected an object, found a {type(value).__name__}")
    return value


# ---------------------------------------------------------------------------------------------------------- the forms


def _memory(row: dict[str, Any], answers: Answers, ignored: Counter[str]) -> Memory:
    if "messages" in row:
        used, memory = {"messages"}, _from_messages(row["messages"], answers)
    elif "conversations" in row:
        used, memory = {"conversations", "system", "chosen", "rejected"}, _from_sharegpt(row, answers)
    elif "input" in row and "preferred_output" in row:
        asked = row["input"] if isinstance(row["input"], dict) else {}
        used = {"input", "preferred_output", "non_preferred_output"}
        memory = _pair(_wire(asked.get("messages")), row["preferred_output"], row.get("non_preferred_output"))
        row = {**asked, **row}
        used.add("messages")
    elif "chosen" in row and "rejected" in row:
        used, memory = {"prompt", "chosen", "rejected"}, _from_preference(row)
    elif "prompt" in row and "completion" in row:
        used, memory = {"prompt", "completion"}, _pair(_prompt(row["prompt"]), row["completion"])
    else:
        raise _Refused(f"none of the known forms (fields: {', '.join(map(str, row)) or 'none'}); expected {_FORMS}")
    params = {key: row[key] for key in _PARAMS if row.get(key)}
    if isinstance(params.get("tools"), str):
        params["tools"] = _tools(params["tools"])
    for call in memory.calls if params else ():
        call.params = json.dumps(params, ensure_ascii=False)
    ignored.update(key for key in row if key not in used and key not in _PARAMS)
    return memory


def _tools(text: str) -> Any:
    """Return tools that stand as JSON text, which keeps the columns of a table plain."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise _Refused(f"tools is no JSON: {error}") from None


def _from_messages(messages: Any, answers: Answers) -> Memory:
    wire = _wire(messages)
    weights = [message.get("weight") for message in wire]
    places = [place for place, message in enumerate(wire) if _teaches(message)]
    if any(weight is not None for weight in weights):
        places = [place for place in places if weights[place] != 0]
    elif answers == "last":
        places = places[-1:]
    if not places:
        raise _Refused("no assistant message holds a text, or calls of tools, that could be learned")
    return _recorded(wire, dict.fromkeys(places, ()))


def _from_sharegpt(row: dict[str, Any], answers: Answers) -> Memory:
    wire = [_sharegpt(message) for message in _listed(row["conversations"], "conversations")]
    if row.get("system"):
        wire.insert(0, {"role": "system", "content": row["system"]})
    if "chosen" in row or "rejected" in row:
        return _pair(_wire(wire), [_sharegpt(row.get("chosen"))], [_sharegpt(row.get("rejected"))])
    return _from_messages(wire, answers)


def _sharegpt(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("value"), str):
        raise _Refused("a message is no object with 'from' and a text as 'value'")
    role = _SHAREGPT_ROLES.get(str(message.get("from")))
    if role is None:
        raise _Refused(f"a message is from {message.get('from')!r}; expected one of {', '.join(_SHAREGPT_ROLES)}")
    return {"role": role, "content": message["value"], "weight": message.get("weight")}


def _from_preference(row: dict[str, Any]) -> Memory:
    chosen, rejected = row["chosen"], row["rejected"]
    if "prompt" in row:
        return _pair(_prompt(row["prompt"]), chosen, rejected)
    chosen, rejected = _wire(chosen), _wire(rejected)
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    return _pair(chosen[:shared], chosen[shared:], rejected[shared:])


def _pair(prompt: _Wire, better: Any, worse: Any = None) -> Memory:
    answer = _answer(better)
    if answer.get("weight") == 0:
        raise _Refused("the answer has weight 0, so nothing could be learned")
    rejected = () if worse is None else (_rejected(answer, _answer(worse)),)
    return _recorded([*prompt, answer], {len(prompt): rejected})


def _rejected(answer: dict[str, Any], worse: dict[str, Any]) -> str:
    kind, output = _output(worse)
    if kind != _output(answer)[0]:
        raise _Refused("one of the two answers calls tools, and the other does not; a pair must be of one form")
    return output


def _answer(value: Any) -> dict[str, Any]:
    """Return an answer, which is a text or a list of one assistant message with a text or calls of tools."""
    if isinstance(value, str):
        return {"role": "assistant", "content": value}
    messages = _wire(value)
    if len(messages) != 1 or not _teaches(messages[0]):
        raise _Refused("an answer must be a text, or a list of one assistant message with a text or calls of tools")
    return messages[0]


def _prompt(value: Any) -> _Wire:
    return [{"role": "user", "content": value}] if isinstance(value, str) else _wire(value)


# ------------------------------------------------------------------------------------------------------- the messages


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _Refused(f"{what} must be a list of messages")
    return value


def _wire(messages: Any) -> _Wire:
    """Return messages as copies without empty fields, once they are known to be the chat API's."""
    wire = []
    for number, message in enumerate(_listed(messages, "messages"), start=1):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise _Refused(f"message {number} has no role; expected one of {', '.join(_ROLES)}")
        content = message.get("content")
        if not isinstance(content, (str, list)) and not (content is None and message.keys() - {"role", "content"}):
            raise _Refused(f"message {number} has no content")
        if isinstance(content, list) and not all(isinstance(part, dict) for part in content):
            raise _Refused(f"message {number}: content must be a text or a list of parts")
        _check_weight(message, number)
        wire.append({key: value for key, value in message.items() if value is not None or key == "content"})
    _complete_calls(wire)
    return wire


def _complete_calls(wire: _Wire) -> None:
    """Give calls of tools the chat API's own form: ids, which their results carry too, and arguments as JSON text."""
    waiting: list[str] = []
    for number, message in enumerate(wire, start=1):
        if "tool_calls" in message:
            calls = message["tool_calls"]
            if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
                raise _Refused(f"message {number}: tool_calls must be a list of objects")
            message["tool_calls"] = [_completed(call, f"call_{number}_{place}") for place, call in enumerate(calls, 1)]
            message.setdefault("content", None)
            waiting = [call["id"] for call in message["tool_calls"]]
        elif message["role"] == "tool" and "tool_call_id" not in message and waiting:
            message["tool_call_id"] = waiting.pop(0)


def _completed(call: dict[str, Any], identity: str) -> dict[str, Any]:
    completed = {"id": call.get("id") or identity, **{key: value for key, value in call.items() if key != "id"}}
    function = call.get("function")
    if isinstance(function, dict):
        completed.setdefault("type", "function")
        if not isinstance(function.get("arguments"), str):
            arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
            completed["function"] = {**function, "arguments": arguments}
    return completed


def _check_weight(message: dict[str, Any], number: int) -> None:
    weight = message.get("weight")
    if weight is None or (weight == 0 and not isinstance(weight, bool)):
        return
    if message["role"] != "assistant":
        raise _Refused(f"message {number} has the weight {weight!r}; only the assistant's messages can be learned")
    if isinstance(weight, bool) or weight != 1:
        raise _Refused(f"message {number} has the weight {weight!r}; expected 0 (context) or 1 (learned)")


def _teaches(message: dict[str, Any]) -> bool:
    """Whether a message is an answer: a text, or calls of tools that are named."""
    if message["role"] != "assistant" or "function_call" in message:
        return False
    if "tool_calls" in message:
        functions = [call.get("function") for call in message["tool_calls"]]
        return bool(functions) and all(
            isinstance(function, dict) and isinstance(function.get("name"), str) for function in functions
        )
    return isinstance(message.get("content"), str)


def _output(message: dict[str, Any]) -> tuple[str, str]:
    """Return an answer's kind and output, as a call records them."""
    if "tool_calls" in message:
        return TOOL_CALLS, tool_calls_output(message["content"], message["tool_calls"])
    return "text", message["content"]


def _recorded(wire: _Wire, learned: dict[int, tuple[str, ...]]) -> Memory:
    """Return the memory of a conversation.

    Args:
        wire: Its messages.
        learned: The places of the answers to learn, each with the answers that were rejected for it.
    """
    memory = Memory(scenario=_opening(wire))
    pool: dict[_Message, int] = {}
    system = NONE
    if wire[0]["role"] == "system":
        system = _pooled(pool, _message(wire[0], wire[:0]))
    for place, message in enumerate(wire):
        if place in learned:
            last = len(memory.history) - 1
            prompt = Prompt(system, 0 if memory.history else NONE, last)
            kind, output = _output(message)
            memory.calls.append(Call("imported", kind, prompt, output, rejected=learned[place]))
        if place == 0 and system != NONE:
            continue
        memory.history.append((len(memory.history) - 1, _pooled(pool, _message(message, wire[:place]))))
        if message["role"] in ("user", "assistant") and isinstance(message.get("content"), str):
            memory.turns.append(Turn(message["role"], message["content"], len(memory.calls)))
    memory.messages = list(pool)
    return memory


def _pooled(pool: dict[_Message, int], message: _Message) -> int:
    return pool.setdefault(message, len(pool))


def _message(message: dict[str, Any], before: Sequence[dict[str, Any]]) -> _Message:
    """Return a message as the pool's; two of the user in a row stay two, as they were."""
    content = message.get("content")
    further = {key: value for key, value in message.items() if key not in ("role", "content", "weight")}
    if not isinstance(content, str):
        further["content"] = content
        texts = [part.get("text") for part in content or () if part.get("type") == "text"]
        content = next((text for text in texts if isinstance(text, str)), "")
    follows_own = bool(before) and message["role"] == before[-1]["role"] == "user"
    return message["role"], content, json.dumps(further, ensure_ascii=False) if further or follows_own else None


def _opening(wire: _Wire) -> str:
    """Return a key that conversations with the same beginning share, so that no split divides them.

    The first paragraph counts: an instruction may follow in the same message.
    """
    first = next((message for message in wire if message["role"] not in ("system", "developer")), wire[0])
    content = first.get("content")
    text = content.split("\n\n")[0] if isinstance(content, str) else json.dumps(content)
    return blake2b(text.encode(errors="surrogatepass"), digest_size=6).hexdigest()
