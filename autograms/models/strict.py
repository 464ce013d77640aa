"""Whether a JSON schema may be asked for strictly, and its strict form.

Endpoints with strict structured outputs take objects whose properties are all required and that allow no others.
"""

from __future__ import annotations

from typing import Any

__all__ = ["strict_schema"]

_NOT_STRICT = frozenset(
    (
        "allOf",
        "contains",
        "default",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxProperties",
        "minProperties",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    )
)


def strict_schema(schema: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema with every object closed, or ``None`` where its meaning would change or it cannot be strict."""
    if schema.get("type") != "object":
        return None
    try:
        return _closed(schema)
    except ValueError:
        return None


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict) or not _NOT_STRICT.isdisjoint(schema):
        raise ValueError
    closed = dict(schema)
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties", False) is not False or set(schema.get("required", ())) != set(properties):
            raise ValueError
        closed["properties"] = {name: _closed(value) for name, value in properties.items()}
        closed["additionalProperties"] = False
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    if "anyOf" in schema:
        closed["anyOf"] = [_closed(part) for part in schema["anyOf"]]
    if "$defs" in schema:
        closed["$defs"] = {name: _closed(part) for name, part in schema["$defs"].items()}
    if "$ref" in schema and len(closed) > 1:
        # Strict endpoints refuse a $ref with company; a title or description beside it says nothing binding.
        return {"$ref": schema["$ref"]}
    return closed
