"""Held-out rows: what a model is asked, and what it should answer.

What belongs here: choosing rows of the split ``validation``. What does not: asking and scoring.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autograms.conversation.tool_calls import TOOL_CALLS, readable
from autograms.finetuning.tokens import Kind, Row, read_rows
from autograms.models.base import Request

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["HeldOut", "held_out"]

_EXTRA = ("kind", "choices", "schema", "scenario", "primitive")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out row.

    Attributes:
        row: Its prompt and answers.
        kind: ``text``, ``choice``, ``object`` or ``tool_calls``.
        choices: The allowed answers of a choice.
        schema: The JSON schema of an object.
        cluster: Its conversation: rows of one conversation are not independent of each other.
        primitive: The primitive that made the call.
    """

    row: Row
    kind: Any
    choices: tuple[str, ...]
    schema: str | None
    cluster: str
    primitive: str

    @property
    def expected(self) -> str:
        """The answer a model should give; calls of tools as people read them, their ids left out."""
        return readable(self.row.answer_messages()[0]) if self.kind == TOOL_CALLS else self.row.answers[0]

    def request(self, *, max_new_tokens: int) -> Request:
        """Return the request that the deployed program makes at this place."""
        import json

        schema = json.loads(self.schema) if self.schema else None
        params: dict[str, Any] = {"max_tokens": max_new_tokens, "temperature": 0}
        if self.row.tools:
            params["tools"] = self.row.tools
        kind: Any = "text" if self.kind == TOOL_CALLS else self.kind
        return Request(kind, self.row.messages, self.choices, schema, params=params)


def held_out(table: pa.Table, kind: Kind, *, limit: int, seed: int) -> list[HeldOut]:
    """Return the rows of the split ``validation``, a seeded sample of them where there are more than ``limit``.

    Raises:
        DatasetError: Where the table is not one of ``kind`` rows.
    """
    import pyarrow.compute as compute

    table = table.filter(compute.field("split") == "validation")
    rows = list(read_rows(table, kind))
    columns = {name: table[name].to_pylist() if name in table.column_names else None for name in _EXTRA}
    return [_held_out(rows[index], index, columns) for index in _sample(len(rows), limit, seed)]


def _held_out(row: Row, index: int, columns: dict[str, list[Any] | None]) -> HeldOut:
    values = {name: column[index] if column is not None else None for name, column in columns.items()}
    return HeldOut(
        row,
        values["kind"] or "text",
        tuple(values["choices"] or ()),
        values["schema"],
        values["scenario"] or row.id,
        values["primitive"] or "",
    )


def _sample(count: int, limit: int, seed: int) -> Sequence[int]:
    if count <= limit:
        return range(count)
    return sorted(random.Random(seed).sample(range(count), limit))
