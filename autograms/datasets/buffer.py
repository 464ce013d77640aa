"""Collecting rows column by column.

What belongs here: the columns of a table that is being built. What does not: which rows there are (``build``).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from autograms.conversation.columns import list_column, struct_column, text_column, text_list_column
from autograms.conversation.record import Call, Memory
from autograms.datasets.rows import MESSAGE

__all__ = ["RowBuffer"]

_ROWS_AT_ONCE = 4096


class RowBuffer:
    """Columns of rows, handed over to Arrow a few thousand at a time.

    Args:
        schema: ``SFT_SCHEMA`` or ``DPO_SCHEMA``; ``split`` is left empty.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._plain = [name for name in schema.names if name not in ("prompt", "split", "choices", "tags")]
        self._answers = [name for name in ("completion", "chosen", "rejected") if name in schema.names]
        self._batches: list[pa.RecordBatch] = []
        self._clear()

    def _clear(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in (*self._plain, "choices", "tags")}
        self._lengths: list[int] = []
        self._messages: list[tuple[str, str | None, str | None]] = []

    def add(
        self,
        identity: str,
        memory: Memory,
        index: int,
        call: Call,
        prompt: list[tuple[str, str | None, str | None]],
        answers: tuple[str, ...],
    ) -> None:
        """Add a row.

        Args:
            identity: The row's id.
            memory: The conversation it comes from.
            index: The call's index in it.
            call: The call.
            prompt: The prompt's messages, as :func:`~autograms.datasets.rows.row_message` gives them.
            answers: The completion, or the chosen and the rejected answer.
        """
        columns = self._columns
        columns["id"].append(identity)
        columns["autogram"].append(memory.autogram)
        columns["scenario"].append(memory.scenario)
        columns["call"].append(index)
        for name in ("primitive", "place", "kind", "choices", "schema", "supervisor", "score", "tags", "model"):
            columns[name].append(getattr(call, name))
        columns["cost_usd"].append(call.cost_usd)
        for name, answer in zip(self._answers, answers, strict=True):
            columns[name].append(answer)
        self._lengths.append(len(prompt))
        self._messages.extend(prompt)
        if len(self._lengths) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        arrays = [self._array(field) for field in self._schema]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._clear()

    def _array(self, field: pa.Field) -> pa.Array:
        if field.name == "prompt":
            parts = zip(*self._messages, strict=True) if self._messages else [(), (), ()]
            return list_column(self._lengths, struct_column(MESSAGE, [text_column(part) for part in parts]))
        if field.name == "split":
            return pa.nulls(len(self._lengths), pa.string())
        values = self._columns[field.name]
        if field.type == pa.string():
            return text_column(values)
        return text_list_column(values) if pa.types.is_list(field.type) else pa.array(values, field.type)

    def table(self) -> pa.Table:
        """Return all rows."""
        self._flush()
        return pa.Table.from_batches(self._batches, self._schema)
