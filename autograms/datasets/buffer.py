"""Collecting rows column by column.

What belongs here: the columns of a table that is being built. What does not: which rows there are (``build``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from autograms.conversation.columns import list_column, struct_column, text_column, text_list_column
from autograms.conversation.record import Call, Memory
from autograms.datasets.rows import MESSAGE

__all__ = ["Row", "RowBuffer"]

_ROWS_AT_ONCE = 4096
_OF_CALLS = ("primitive", "place", "kind", "choices", "schema", "supervisor", "score", "tags", "model", "cost_usd")

Row = tuple[str, int, Call, list[tuple[str, str | None, str | None]], tuple[str, ...]]
"""A row's id, the index of its call, the call, its prompt's messages, and the completion or the two answers."""


class RowBuffer:
    """Columns of rows, packed and compressed a few thousand at a time.

    Args:
        schema: ``SFT_SCHEMA`` or ``DPO_SCHEMA``; ``split`` is left empty.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._plain = [name for name in schema.names if name not in ("prompt", "split", "choices", "tags")]
        self._answers = [name for name in ("completion", "chosen", "rejected") if name in schema.names]
        self._batches: deque[pa.Buffer] = deque()
        self._clear()

    def _clear(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in (*self._plain, "choices", "tags")}
        self._lengths: list[int] = []
        self._roles: list[str] = []
        self._texts: list[str | None] = []
        self._extras: list[str | None] = []

    def extend(self, memory: Memory, rows: list[Row]) -> None:
        """Add the rows of a conversation."""
        columns = self._columns
        columns["autogram"].extend([memory.autogram] * len(rows))
        columns["scenario"].extend([memory.scenario] * len(rows))
        columns["id"].extend([row[0] for row in rows])
        columns["call"].extend([row[1] for row in rows])
        for name in _OF_CALLS:
            columns[name].extend([getattr(row[2], name) for row in rows])
        for place, name in enumerate(self._answers):
            columns[name].extend([row[4][place] for row in rows])
        for _, _, _, prompt, _ in rows:
            self._lengths.append(len(prompt))
            self._roles.extend([message[0] for message in prompt])
            self._texts.extend([message[1] for message in prompt])
            self._extras.extend([message[2] for message in prompt])
        if len(self._lengths) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        arrays = [self._array(field) for field in self._schema]
        self._batches.append(_packed(pa.RecordBatch.from_arrays(arrays, schema=self._schema)))
        self._clear()

    def _array(self, field: pa.Field) -> pa.Array:
        if field.name == "prompt":
            parts = [text_column(part) for part in (self._roles, self._texts, self._extras)]
            return list_column(self._lengths, struct_column(MESSAGE, parts))
        if field.name == "split":
            return pa.nulls(len(self._lengths), pa.string())
        values = self._columns[field.name]
        if field.type == pa.string():
            return text_column(values)
        return text_list_column(values) if pa.types.is_list(field.type) else pa.array(values, field.type)

    def drain(self) -> Iterator[pa.RecordBatch]:
        """Hand over all rows, in order, and let go of them."""
        self._flush()
        while self._batches:
            with pa.ipc.open_stream(self._batches.popleft()) as reader:
                yield from reader


def _packed(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()
