"""``offline/demo``: an embedded stand-in that needs no key and no network, and says so in every text.

It answers deterministically from the request alone. What does not belong here: anything that learns (``checkpoint``)
or anything a test prepares (``scripted``).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from typing import Any

from autograms.errors import ModelNameError, OutputError
from autograms.models.base import Message, Reply, Request
from autograms.models.tool_calls import read_tool_calls

__all__ = ["OfflineModel", "smallest"]

_MARK = "(offline demo)"
_SENTENCES = (
    "Thank you, that is good to know.",
    "Could you tell me a little more about that?",
    "I understand. Let me look into it for you.",
    "That sounds reasonable to me.",
    "Here is what I would suggest as a next step.",
    "I have noted that down.",
    "Is there anything else that matters to you here?",
    "Let us take this one step at a time.",
)
_WORD = re.compile(r"[^\W_]+")
_EMBEDDING_SIZE = 64
_FORMATS = {
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "date-time": "2000-01-01T00:00:00Z",
    "duration": "P1D",
    "email": "offline@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}


class OfflineModel:
    """Answers from the request's hash: short sentences, a fitting choice, the smallest JSON of a schema.

    Where tools are offered, it calls the first once, with the smallest arguments, before it answers.

    Args:
        model: ``demo``, the only one there is.

    Raises:
        ModelNameError: For any other name.
    """

    def __init__(self, model: str = "demo") -> None:
        if model != "demo":
            raise ModelNameError(f"there is no model offline/{model}; expected offline/demo")
        self.name = "offline/demo"

    def opener(self, parts: int) -> Callable[[], OfflineModel]:
        """Return what opens this model in another process."""
        return OfflineModel

    async def complete(self, request: Request) -> Reply:
        """Answer one request; tokens are words, and the cost is nothing.

        Raises:
            OutputError: Where a schema asks for something that only a real model can write (a ``pattern``).
        """
        probabilities, calls = None, None
        if request.kind == "choice":
            text, probabilities = _choose(request)
        elif request.kind == "object":
            text = json.dumps(smallest(request.schema or {"type": "object"}), ensure_ascii=False)
        elif request.params.get("tools") and (calls := _call(request)):
            text = ""
        else:
            text = f"{_MARK} {_SENTENCES[_digest(request)[0] % len(_SENTENCES)]}"
        read = sum(len(_text(message).split()) for message in request.messages)
        return Reply(text, self.name, read, len(text.split()), 0.0, probabilities, tool_calls=calls)

    async def embed(self, texts: list[str], *, model: str | None = None) -> list[list[float]]:
        """Return a unit vector of 64 numbers for each text; texts that share words lie closer together."""
        return [_embedding(text) for text in texts]

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""


def _call(request: Request) -> list[dict[str, Any]] | None:
    """Return a call of the first tool, ``None`` where one was called already or may not be."""
    if request.messages[-1].get("role") == "tool" or request.params.get("tool_choice") == "none":
        return None
    function = request.params["tools"][0].get("function", {})
    try:
        arguments = smallest(function.get("parameters") or {"type": "object"})
        return read_tool_calls([{"name": function.get("name"), "arguments": arguments}])
    except OutputError:
        return None


def _digest(request: Request) -> bytes:
    content = json.dumps([request.messages, list(request.choices)], sort_keys=True, default=str)
    return hashlib.blake2b(content.encode(), digest_size=8).digest()


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content or ""


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _choose(request: Request) -> tuple[str, list[float]]:
    """Return the choice that shares most words with what was said before the question, else one by the hash.

    The probabilities follow the shared words, so that the choice returned has the highest.
    """
    texts = [_text(message) for message in request.messages if message.get("role") == "user"] or [""]
    before, question = texts[:-1], texts[-1]
    # The question lists every choice, so its own words tell nothing; what stands above it was said by the user.
    said = before[-1] if before else question.partition("\n\n")[0] if "\n\n" in question else ""
    words = _words(said)
    shared = [len(_words(choice) & words) for choice in request.choices]
    best = [index for index, count in enumerate(shared) if count == max(shared)]
    chosen = best[_digest(request)[1] % len(best)]
    weights = [1 + count + (index == chosen) for index, count in enumerate(shared)]
    return request.choices[chosen], [weight / sum(weights) for weight in weights]


def _embedding(text: str) -> list[float]:
    vector = [0.0] * _EMBEDDING_SIZE
    for word in _WORD.findall(text.casefold()) or [""]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        for byte in digest[:4]:
            vector[byte % _EMBEDDING_SIZE] += 1.0 if digest[4] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def smallest(schema: dict[str, Any]) -> Any:
    """Return the smallest value that a JSON schema allows.

    Raises:
        OutputError: For a schema with a ``pattern``, one that refers to itself without end, or one that no value fits.
    """
    return _smallest(schema, schema, "answer", ())


def _smallest(schema: Any, root: dict[str, Any], name: str, seen: tuple[str, ...]) -> Any:
    if schema is True or schema == {}:
        return f"{_MARK} {name}"
    if not isinstance(schema, dict):
        raise OutputError(f"offline/demo cannot answer the schema of {name!r}: nothing fits it")
    if "$ref" in schema:
        if schema["$ref"] in seen:
            raise OutputError(f"offline/demo cannot answer the schema of {name!r}: it refers to itself without end")
        return _smallest(_resolve(schema["$ref"], root), root, name, (*seen, schema["$ref"]))
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _first_that_fits(schema[key], root, name, seen)
    if "allOf" in schema:
        return _smallest(_merged(schema, root), root, name, seen)
    kind: Any = schema.get("type") or (
        "object" if "properties" in schema else "array" if "items" in schema else "string"
    )
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        properties: dict[str, Any] = schema.get("properties", {})
        wanted = schema["required"] if "required" in schema else list(properties)
        return {key: _smallest(properties.get(key, {}), root, key, seen) for key in wanted}
    if kind == "array":
        return _array(schema, root, name, seen)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    return {"boolean": True, "null": None}[kind] if kind in ("boolean", "null") else _string(schema, name)


def _first_that_fits(parts: list[Any], root: dict[str, Any], name: str, seen: tuple[str, ...]) -> Any:
    problem: OutputError | None = None
    for part in parts:
        try:
            return _smallest(part, root, name, seen)
        except OutputError as error:
            problem = error
    raise problem or OutputError(f"offline/demo cannot answer the schema of {name!r}: it offers no alternative")


def _merged(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        part = _resolve(part["$ref"], root) if "$ref" in part else part
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", []), *part.get("required", [])]
        merged = {**merged, **part}
        if properties:
            merged["properties"], merged["required"] = properties, required
    return merged


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    value: Any = root
    try:
        for step in reference.removeprefix("#").strip("/").split("/"):
            value = value[step.replace("~1", "/").replace("~0", "~")] if step else value
    except (KeyError, TypeError):
        raise OutputError(f"the schema refers to {reference!r}, which it does not define") from None
    return value


def _array(schema: dict[str, Any], root: dict[str, Any], name: str, seen: tuple[str, ...]) -> list[Any]:
    """Return one item, as programs like to look at the first, or as many as there must be."""
    values = [_smallest(part, root, name, seen) for part in schema.get("prefixItems", [])]
    least = schema.get("minItems", 0)
    wanted = max(least, min(1, schema.get("maxItems", 1)))
    while len(values) < wanted:
        try:
            values.append(_smallest(schema.get("items", {}), root, f"{name} {len(values) + 1}", seen))
        except OutputError:
            if len(values) < least:
                raise
            break
    if schema.get("uniqueItems") and len({json.dumps(value, sort_keys=True) for value in values}) < len(values):
        raise OutputError(f"offline/demo cannot answer the schema of {name!r}: it wants items that all differ")
    return values


def _number(schema: dict[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf", 1 if whole else None)
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)

    def fits(value: float) -> bool:
        return low <= value <= high and above < value < below

    floor, ceiling = max(low, above), min(high, below)
    candidates: list[float] = [0]
    if step:
        candidates += [(math.ceil(floor / step) + extra) * step for extra in (0, 1) if floor > -math.inf]
        candidates += [(math.floor(ceiling / step) - extra) * step for extra in (0, 1) if ceiling < math.inf]
    else:
        candidates += [edge for edge in (low, high) if math.isfinite(edge)]
        if math.isfinite(floor):
            candidates.append((floor + ceiling) / 2 if math.isfinite(ceiling) else floor + max(1.0, abs(floor)))
        elif math.isfinite(ceiling):
            candidates.append(ceiling - max(1.0, abs(ceiling)))
    for candidate in candidates:
        if fits(candidate):
            return candidate
    raise OutputError("offline/demo cannot answer the schema: no number lies between its limits")


def _string(schema: dict[str, Any], name: str) -> str:
    if "pattern" in schema:
        raise OutputError(f"offline/demo cannot answer the schema of {name!r}: it has a pattern; use another model")
    text = _FORMATS.get(schema.get("format", ""), f"{_MARK} {name}")
    longest = schema.get("maxLength", math.inf)
    if len(text) > longest:
        text = text[: int(longest)]
    return text.ljust(schema.get("minLength", 0), ".")
