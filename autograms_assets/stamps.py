"""What is stored beside a value, so that anyone can tell whether it still holds: its stamp.

A table's stamp stands in its Parquet metadata, a folder's in ``stamp.json`` inside of it. What does not belong here:
how fingerprints are made (``fingerprints``), and deciding by them (``reuse``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

__all__ = ["STAMP_FILE", "STAMP_KEY", "Stamp", "Verdict", "stamped"]

STAMP_FILE = "stamp.json"
STAMP_KEY = b"autograms.stamp"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check found.

    Attributes:
        check: The check's name.
        passed: Whether it passed.
        description: What was found, in a sentence.
        error: Whether a failure is an error (a warning otherwise).
    """

    check: str
    passed: bool
    description: str
    error: bool = True


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a stored value depended on, and what it is.

    Attributes:
        fingerprint: Hash of all that it depends on.
        version: Hash of its content.
        inputs: The parts of the fingerprint: name to hash.
        summary: What people look at: plain values, ``{"md": text}``, ``{"path": text}``.
        checks: What the checks found.
        seconds: How long it took to make.
    """

    fingerprint: str
    version: str
    inputs: dict[str, str]
    summary: dict[str, Any] = field(default_factory=dict)
    checks: tuple[Verdict, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> str:
        """Return the stamp as JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Stamp | None:
        """Read a stamp; ``None`` where the text is none, so that the value counts as never made."""
        try:
            data = json.loads(text)
            return cls(**{**data, "checks": tuple(Verdict(**check) for check in data["checks"])})
        except (ValueError, TypeError, KeyError):
            return None


def stamped(table: pa.Table, stamp: Stamp) -> pa.Table:
    """Return the table with the stamp in its schema's metadata."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), STAMP_KEY: stamp.to_json().encode()})
