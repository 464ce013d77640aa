"""The base of all settings: unknown keys are refused, and a wrong value is named.

What does not belong here: any setting.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Strict", "first_problem"]


class Strict(BaseModel):
    """Settings that refuse keys they do not know."""

    model_config = ConfigDict(extra="forbid", validate_default=True)


def first_problem(error: ValidationError) -> str:
    """Return the first thing that is wrong: its place, what was expected, and what stands there."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    value = "" if first["type"] == "missing" else f" (got {first['input']!r})"
    return f"{place}: {first['msg']}{value}" if place else first["msg"]
