"""Collecting rows column by column.

What belongs here: the columns of a table that is being built. What does not: which rows there are (``build``).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

import pyarrow as pa

from autograms.conversation.columns import list_column, struct_column, text_column, text_list_column
from autograms.conversation.record import Call, Memory
from autograms.conversation.tool_calls import offered_tools
from autograms.datasets.prompts import RowMessage
from autograms.datasets.rows import MESSAGE

__all__ = ["Row", "RowBuffer"]

_ROWS_AT_ONCE = 4096
_CHARACTERS_AT_ONCE = 2**26
"""Of prompts, at the most about: a column of texts holds no more than 2 GiB."""

Row = tuple[str, int, Call, list[int], tuple[str, ...]]
"""A row's id, the index of its call, the call, the numbers of its prompt's messages, its completion or two answers."""


class RowBuffer:
    """Columns of rows, packed and compressed a few thousand at a time.

    Args:
        schema: ``SFT_SCHEMA`` or ``DPO_SCHEMA``; ``split`` is left empty.

    Attributes:
        messages: The messages that the prompts of rows number; they are added before the rows are.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._answers = [name for name in ("completion", "chosen", "rejected") if name in schema.names]
        self._batches: deque[pa.Buffer] = deque()
        self.messages: list[RowMessage] = []
        self._clear()

    def _clear(self) -> None:
        self._rows: list[Row] = []
        self._autograms: list[str] = []
        self._scenarios: list[str] = []
        self.messages.clear()
        self._prompts: list[int] = []
        self._characters = 0

    def extend(self, memory: Memory, rows: list[Row]) -> None:
        """Add the rows of a conversation; ``messages`` may be empty afterwards."""
        self._rows += rows
        self._autograms += [memory.autogram] * len(rows)
        self._scenarios += [memory.scenario] * len(rows)
        for row in rows:
            self._prompts += row[3]
        if rows:
            self._characters += len(rows) * sum([len(self.messages[number][1] or "") for number in rows[-1][3]])
        if len(self._rows) >= _ROWS_AT_ONCE or self._characters >= _CHARACTERS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        calls = list(map(itemgetter(2), self._rows))
        arrays = [self._array(field, calls) for field in self._schema]
        self._batches.append(_packed(pa.RecordBatch.from_arrays(arrays, schema=self._schema)))
        self._clear()

    def _array(self, field: pa.Field, calls: list[Call]) -> pa.Array:
        if field.name == "prompt":
            return self._prompt_column()
        if field.name == "split":
            return pa.nulls(len(calls), pa.string())
        values = self._values(field.name, calls)
        if field.type == pa.string():
            return text_column(values)
        return text_list_column(values) if pa.types.is_list(field.type) else pa.array(values, field.type)

    def _prompt_column(self) -> pa.Array:
        parts = [text_column(list(map(itemgetter(part), self.messages))) for part in range(3)]
        messages = struct_column(MESSAGE, parts).take(pa.array(self._prompts, pa.int32()))
        return list_column([len(row[3]) for row in self._rows], messages)

    def _values(self, name: str, calls: list[Call]) -> list[Any]:
        if name == "autogram":
            return self._autograms
        if name == "scenario":
            return self._scenarios
        if name in ("id", "call"):
            return list(map(itemgetter(0 if name == "id" else 1), self._rows))
        if name in self._answers:
            place = self._answers.index(name)
            return [row[4][place] for row in self._rows]
        if name == "tools":
            return [_tools(call.params) for call in calls]
        return list(map(attrgetter(name), calls))

    def drain(self) -> Iterator[pa.RecordBatch]:
        """Hand over all rows, in order, and let go of them."""
        self._flush()
        while self._batches:
            with pa.ipc.open_stream(self._batches.popleft()) as reader:
                yield from reader


def _tools(params: str | None) -> str | None:
    return None if params is None or '"tools"' not in params else _tools_text(params)


@lru_cache(maxsize=256)
def _tools_text(params: str) -> str | None:
    offered = offered_tools(params)
    return json.dumps(offered, ensure_ascii=False) if offered else None


def _packed(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()
