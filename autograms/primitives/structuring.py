"""Structured answers: primitives that ask the model for JSON of a given shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from autograms.errors import OutputError, ProgramError
from autograms.primitives.asking import ask, primitive
from autograms.primitives.deciding import checked_choices
from autograms.program.context import current

__all__ = [
    "decision_chain",
    "generate_fixed_dict",
    "generate_fixed_list",
    "generate_list",
    "generate_list_of_choices",
    "generate_list_of_dicts",
    "generate_object",
    "thought_chain",
    "thought_decision_chain",
]

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}


@primitive
def generate_list(instruction: str, **options: Any) -> list[str]:
    """Ask for a list of texts."""
    return _data("generate_list", instruction, _list_of(_TEXT), options)


@primitive
def generate_list_of_choices(instruction: str, choices: Sequence[str], **options: Any) -> list[str]:
    """Ask for a list whose items are each one of ``choices``."""
    allowed = list(checked_choices(choices))
    return _data("generate_list_of_choices", instruction, _list_of({"type": "string", "enum": allowed}), options)


@primitive
def generate_list_of_dicts(instruction: str, keys: Sequence[str], **options: Any) -> list[dict[str, str]]:
    """Ask for a list of mappings that have the given keys, each with a text."""
    return _data("generate_list_of_dicts", instruction, _list_of(_object(dict.fromkeys(keys, _TEXT))), options)


@primitive
def generate_fixed_list(instruction: str, num_items: int, **options: Any) -> list[str]:
    """Ask for a list of exactly ``num_items`` texts."""
    names = [f"item{number}" for number in range(1, num_items + 1)]
    schema = _object(dict.fromkeys(names, _TEXT))

    def from_python(value: Any) -> Any:
        return dict(zip(names, value, strict=True)) if isinstance(value, (list, tuple)) else value

    answer = _generate("generate_fixed_list", instruction, schema, options, from_python)
    return [answer[name] for name in names]


@primitive
def generate_fixed_dict(instruction: str, keys: Sequence[str], **options: Any) -> dict[str, str]:
    """Ask for a mapping that has the given keys, each with a text."""
    return _generate("generate_fixed_dict", instruction, _object(dict.fromkeys(keys, _TEXT)), options)


@primitive
def generate_object(instruction: str, obj_structure: type[BaseModel] | Schema, **options: Any) -> Any:
    """Ask for an object.

    Args:
        instruction: What the model is told.
        obj_structure: A pydantic model, or a JSON schema (bare, or in the chat API's ``json_schema`` envelope).
        **options: ``max_turns``, ``supervisor``, ``supervisor_kwargs``, and any keyword of the chat API.

    Returns:
        An instance of the pydantic model; for a schema, the JSON text.

    Raises:
        ProgramError: Where ``obj_structure`` is neither.
        OutputError: Where the answer does not follow the schema.
    """
    if isinstance(obj_structure, type) and issubclass(obj_structure, BaseModel):
        return _pydantic(instruction, obj_structure, options)
    if not isinstance(obj_structure, dict):
        raise ProgramError(f"obj_structure={obj_structure!r}: expected a pydantic model or a JSON schema")
    schema = obj_structure.get("json_schema", obj_structure)
    schema = schema.get("schema", schema)
    return _ask_object("generate_object", instruction, schema, options)


def _pydantic(instruction: str, model: type[BaseModel], options: dict[str, Any]) -> BaseModel:
    def check(text: str) -> BaseModel:
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            raise OutputError(f"the answer is no {model.__name__}: {error.errors()[0]['msg']}") from None

    def encode(value: Any) -> str:
        if isinstance(value, BaseModel):
            return value.model_dump_json()
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        check(text)
        return text

    schema = model.model_json_schema()
    return check(_ask_object("generate_object", instruction, schema, options, encode=encode, check=check))


# ------------------------------------------------------------------------------------------------------------ chains


@primitive
def thought_chain(instruction: str, chain: Sequence[str], **options: Any) -> list[str]:
    """Ask for a text on each of several prompts, in one call."""
    return _chain("thought_chain", instruction, [{"type": "thought", "prompt": prompt} for prompt in chain], options)


@primitive
def decision_chain(instruction: str, chain: Sequence[dict[str, Any]], **options: Any) -> list[str]:
    """Ask several questions with choices (``{"question", "choices"}``), in one call; return the choices' texts."""
    return _chain("decision_chain", instruction, [{**item, "type": "decision"} for item in chain], options)


@primitive
def thought_decision_chain(instruction: str, chain_structure: Sequence[dict[str, Any]], **options: Any) -> list[str]:
    """Ask for texts and decisions in one call.

    Args:
        instruction: What the model is told.
        chain_structure: ``{"type": "thought", "prompt"}`` and ``{"type": "decision", "question", "choices"}``.
        **options: As in :func:`generate_object`.

    Raises:
        ProgramError: Where an item has no known type, or a prompt is there twice.
    """
    return _chain("thought_decision_chain", instruction, list(chain_structure), options)


def _chain(name: str, instruction: str, items: list[dict[str, Any]], options: dict[str, Any]) -> list[str]:
    properties: dict[str, Schema] = {}
    for number, item in enumerate(items, 1):
        prompt, schema = _chain_item(number, item)
        if prompt in properties:
            raise ProgramError(f"{name}: the prompt {prompt!r} is there twice; give each its own")
        properties[prompt] = schema
    names = list(properties)

    def in_order(value: Any) -> Any:
        if isinstance(value, dict) and set(value) != set(names) and len(value) == len(names):
            return dict(zip(names, value.values(), strict=True))
        if isinstance(value, (list, tuple)):
            return dict(zip(names, value, strict=True))
        return value

    answer = _generate(name, instruction, _object(properties), options, in_order)
    return [answer[prompt] for prompt in names]


def _chain_item(number: int, item: dict[str, Any]) -> tuple[str, Schema]:
    kind = item.get("type")
    if kind == "thought" and "prompt" in item:
        return _property_name(item["prompt"]), _TEXT
    if kind == "decision" and "question" in item and "choices" in item:
        schema = {"type": "string", "enum": list(checked_choices(item["choices"]))}
        return _property_name(item["question"]), schema
    raise ProgramError(
        f"item {number} of the chain is {item!r}; expected {{'type': 'thought', 'prompt': ...}} or "
        "{'type': 'decision', 'question': ..., 'choices': [...]}"
    )


def _property_name(prompt: str) -> str:
    return prompt.replace("\n", " ").replace('"', "'")


# ------------------------------------------------------------------------------------------------------ asking for JSON


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_of(items: Schema) -> Schema:
    return _object({"data": {"type": "array", "items": items}})


def _data(name: str, instruction: str, schema: Schema, options: dict[str, Any]) -> Any:
    def from_python(value: Any) -> Any:
        return {"data": list(value)} if isinstance(value, (list, tuple)) else value

    return _generate(name, instruction, schema, options, from_python)["data"]


def _generate(
    name: str,
    instruction: str,
    schema: Schema,
    options: dict[str, Any],
    from_python: Callable[[Any], Any] = lambda value: value,
) -> Any:
    """Ask for an object and return it as plain containers."""

    def check(text: str) -> Any:
        value = from_python(json.loads(text))
        _follow(schema, value)
        return value

    def encode(value: Any) -> str:
        value = from_python(json.loads(value) if isinstance(value, str) else value)
        _follow(schema, value)
        return json.dumps(value, ensure_ascii=False)

    return check(_ask_object(name, instruction, schema, options, encode=encode, check=check))


def _ask_object(
    name: str,
    instruction: str,
    schema: Schema,
    options: dict[str, Any],
    *,
    encode: Callable[[Any], str] | None = None,
    check: Callable[[str], Any] | None = None,
) -> str:
    def follow(text: str) -> None:
        _follow(schema, json.loads(text))

    def as_text(value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        follow(text)
        return text

    context = current()
    shape = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    text = (
        f"{context.prefix}{instruction}{context.suffix}\nAnswer with one JSON object that follows this schema:\n{shape}"
    )
    return ask(
        name,
        "object",
        text,
        options,
        encode=encode or as_text,
        schema=schema,
        check=check or follow,
        max_turns=options.get("max_turns") or None,
    )


def _follow(schema: Schema, value: Any) -> None:
    """Refuse a value that does not follow a JSON schema.

    Raises:
        OutputError: With the place and what was expected there.
    """
    import jsonschema

    try:
        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
    except jsonschema.ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "the answer"
        raise OutputError(f"{where}: {error.message}") from None
    except jsonschema.SchemaError as error:
        raise ProgramError(f"the JSON schema itself is wrong: {error.message}") from None
