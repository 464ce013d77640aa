from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from autograms.models.strict import strict_schema


class Inner(BaseModel):
    word: str


class Outer(BaseModel):
    first: Inner
    rest: list[Inner] | None


def test_every_object_is_closed() -> None:
    strict = strict_schema(Outer.model_json_schema())
    assert strict is not None
    assert strict["additionalProperties"] is False
    assert strict["$defs"]["Inner"]["additionalProperties"] is False


def test_the_schema_given_stays_as_it_is() -> None:
    schema = Outer.model_json_schema()
    strict_schema(schema)
    assert schema == Outer.model_json_schema()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"oneOf": []}}, "required": ["a"]},
        {"type": "object", "properties": {"a": True}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}, "required": ["a"]},
    ],
)
def test_what_cannot_be_strict(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None
