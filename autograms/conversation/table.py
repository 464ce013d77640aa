"""Conversations as Arrow tables: one row a conversation, an explicit and versioned schema of plain types.

What belongs here: the schema, and the way between memories and tables. What does not: files (``parquet``), what a
memory means (``record``), and the rows that train (``autograms.datasets``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from operator import attrgetter
from typing import Any, TypeVar

import pyarrow as pa

from autograms.conversation.columns import (
    list_column,
    split_list,
    split_tuples,
    struct_column,
    text_column,
    text_list_column,
)
from autograms.conversation.record import SCHEMA_VERSION, Call, Memory, Prompt, Turn
from autograms.errors import RecordError

__all__ = [
    "MEMORY_SCHEMA",
    "ROWS_AT_ONCE",
    "VERSION_KEY",
    "conform",
    "from_batch",
    "memories_to_table",
    "refuse_newer",
    "schema_without",
    "table_to_memories",
    "to_batches",
]

Item = TypeVar("Item")

VERSION_KEY = b"autograms.schema_version"
"""Where the schema's version stands in a table's metadata."""

ROWS_AT_ONCE = 512
"""Conversations a row group: enough to compress well, few enough that no text column nears Arrow's 2 GiB."""

_PROBED = 256
"""Values of a text column that are looked at for repetition."""

_PROMPT = pa.struct([(name, pa.int32()) for name in ("system", "first", "last", "ask")])
_CALL_TYPES: dict[str, pa.DataType] = {
    "primitive": pa.string(),
    "kind": pa.string(),
    "prompt": _PROMPT,
    "output": pa.string(),
    "side": pa.string(),
    "choices": pa.list_(pa.string()),
    "schema": pa.string(),
    "place": pa.string(),
    "parent": pa.int32(),
    "supervised": pa.bool_(),
    "supervisor": pa.string(),
    "score": pa.float64(),
    "rejected": pa.list_(pa.string()),
    "tags": pa.list_(pa.string()),
    "model": pa.string(),
    "params": pa.string(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "cost_usd": pa.float64(),
    "milliseconds": pa.float64(),
    "reused": pa.bool_(),
    "request": pa.string(),
    "error": pa.string(),
}
_TURN_TYPES: dict[str, pa.DataType] = {
    "role": pa.string(),
    "content": pa.string(),
    "after": pa.int32(),
    "address": pa.string(),
    "data": pa.string(),
    "kwargs": pa.string(),
}
_PLAIN_TYPES: dict[str, pa.DataType] = {
    "version": pa.int32(),
    "autogram": pa.string(),
    "scenario": pa.string(),
    "fingerprint": pa.string(),
    "status": pa.string(),
    "error": pa.string(),
    "error_message": pa.string(),
    "error_place": pa.string(),
    "error_side": pa.string(),
    "seed": pa.int64(),
    "scenario_data": pa.string(),
    "branch": pa.string(),
    "findings": pa.list_(pa.string()),
}
_LATER = ("branch", "findings")
"""Columns that files of earlier releases lack."""
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string())])
_NODE = pa.struct([("parent", pa.int32()), ("message", pa.int32())])
_CALL = pa.struct(list(_CALL_TYPES.items()))
_TURN = pa.struct(list(_TURN_TYPES.items()))

MEMORY_SCHEMA = pa.schema(
    [
        *_PLAIN_TYPES.items(),
        ("turns", pa.list_(_TURN)),
        ("messages", pa.list_(_MESSAGE)),
        ("history", pa.list_(_NODE)),
        ("calls", pa.list_(_CALL)),
    ],
    metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
)
"""One row a conversation; the columns are :class:`~autograms.conversation.record.Memory`'s attributes."""


def schema_without(leave_out: Sequence[str]) -> pa.Schema:
    """Return the schema without attributes of a memory (``turns``) or of its calls (``calls.request``)."""
    fields = [field for field in MEMORY_SCHEMA if field.name not in leave_out]
    calls = [field for field in _CALL if f"calls.{field.name}" not in leave_out]
    shapes = {"calls": pa.list_(pa.struct(calls))}
    return pa.schema([field.with_type(shapes.get(field.name, field.type)) for field in fields])


_BUILD_ERRORS = (pa.ArrowException, AttributeError, OverflowError, TypeError, ValueError)


# ------------------------------------------------------------------------------------------------------------- to Arrow


def memories_to_table(memories: Iterable[Memory]) -> pa.Table:
    """Return the conversations as a table of :data:`MEMORY_SCHEMA`.

    Raises:
        RecordError: Where a memory holds a value that its column cannot; the message names the conversation.
    """
    return pa.Table.from_batches(list(to_batches(memories)), MEMORY_SCHEMA)


def to_batches(memories: Iterable[Memory]) -> Iterator[pa.RecordBatch]:
    """Yield the conversations as batches of :data:`MEMORY_SCHEMA`, :data:`ROWS_AT_ONCE` at a time.

    Raises:
        RecordError: As :func:`memories_to_table`.
    """
    remaining = iter(memories)
    while chunk := list(islice(remaining, ROWS_AT_ONCE)):
        try:
            yield _batch(chunk)
        except _BUILD_ERRORS:
            raise _culprit(chunk) from None


def _batch(memories: Sequence[Memory]) -> pa.RecordBatch:
    columns = [_column([getattr(memory, name) for memory in memories], kind) for name, kind in _PLAIN_TYPES.items()]
    columns.append(_nested([memory.turns for memory in memories], _TURN, _TURN_TYPES))
    messages = [memory.messages for memory in memories]
    columns.append(list_column(map(len, messages), _tuples(messages, _MESSAGE)))
    history = [memory.history for memory in memories]
    columns.append(list_column(map(len, history), _tuples(history, _NODE)))
    columns.append(_nested([memory.calls for memory in memories], _CALL, _CALL_TYPES))
    return pa.RecordBatch.from_arrays(columns, schema=MEMORY_SCHEMA)


def _nested(rows: Sequence[Sequence[Any]], shape: pa.StructType, types: dict[str, pa.DataType]) -> pa.Array:
    objects = list(chain.from_iterable(rows))
    columns = [_column(list(map(attrgetter(name), objects)), kind) for name, kind in types.items()]
    return list_column(map(len, rows), struct_column(shape, columns))


def _tuples(rows: Sequence[Sequence[tuple[Any, ...]]], shape: pa.StructType) -> pa.Array:
    items = list(chain.from_iterable(rows))
    values = zip(*items, strict=True) if items else [()] * shape.num_fields
    return struct_column(shape, [_column(column, field.type) for column, field in zip(values, shape, strict=True)])


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        return text_column(values)
    if pa.types.is_list(kind):
        return text_list_column(values)
    if kind == _PROMPT:
        parts = zip(*map(attrgetter("system", "first", "last", "ask"), values), strict=True) if values else [()] * 4
        return struct_column(_PROMPT, [pa.array(part, pa.int32()) for part in parts])
    return pa.array(values, kind)


def _culprit(memories: Sequence[Memory]) -> RecordError:
    for memory in memories:
        try:
            _batch([memory])
        except _BUILD_ERRORS as error:
            name = f"{memory.autogram}, scenario {memory.scenario!r}"
            return RecordError(f"the conversation ({name}) cannot be stored: {type(error).__name__}: {error}")
    return RecordError("the conversations cannot be stored together: a text column of theirs exceeds 2 GiB")


# ----------------------------------------------------------------------------------------------------------- from Arrow


def table_to_memories(table: pa.Table) -> list[Memory]:
    """Return the conversations of a table that :func:`memories_to_table` made.

    Columns may stand in any order, and a table that went through pandas is read too.

    Raises:
        RecordError: Where columns are missing or of another kind, or the schema version is newer.
    """
    return list(_memories(table, "the table"))


def _memories(table: pa.Table, where: str) -> Iterator[Memory]:
    for batch in conform(table, where, MEMORY_SCHEMA).to_batches():
        yield from from_batch(batch)


def conform(table: pa.Table, where: str, schema: pa.Schema) -> pa.Table:
    """Return a table with the schema's columns, in their order; what earlier releases lacked is empty.

    Args:
        table: Conversations, whole or in part.
        where: Where they are from, for messages.
        schema: :data:`MEMORY_SCHEMA`, or what :func:`schema_without` left of it.

    Raises:
        RecordError: Where columns are missing or of another kind, or a row's schema version is newer.
    """
    for name in _LATER:
        if name in schema.names and name not in table.column_names:
            table = table.append_column(name, pa.array([None] * table.num_rows, _PLAIN_TYPES[name]))
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise RecordError(f"{where} holds no conversations: the columns {', '.join(missing)} are missing")
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise RecordError(f"{where} holds no conversations: {error}") from None
    refuse_newer(max((version for version in table["version"].to_pylist() if version), default=0), where)
    return table


def refuse_newer(version: int, where: str) -> None:
    """Refuse what a later release wrote.

    Raises:
        RecordError: Where the schema version is newer than this release's.
    """
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{where} has schema version {version}, this release reads up to {SCHEMA_VERSION}; upgrade autograms"
        )


def from_batch(batch: pa.RecordBatch) -> Iterator[Memory]:
    """Yield the conversations of a batch; attributes without a column keep their default."""
    names = [name for name in _PLAIN_TYPES if name in batch.schema.names]
    plain = [batch.column(name).to_pylist() for name in names]
    nested = zip(
        _tuples_of(batch.column("messages")),
        _tuples_of(batch.column("history")),
        split_list(batch.column("calls"), _objects(batch.column("calls"), Call)),
        _turns_of(batch),
        strict=True,
    )
    for values, (pool, nodes, calls, turns) in zip(zip(*plain, strict=True), nested, strict=True):
        memory = Memory(**dict(zip(names, values, strict=True)))
        memory.findings = memory.findings or []
        memory.messages, memory.history, memory.calls, memory.turns = pool, nodes, calls, turns
        yield memory


def _turns_of(batch: pa.RecordBatch) -> Iterable[list[Turn]]:
    if "turns" not in batch.schema.names:
        return ([] for _ in range(len(batch)))
    return split_list(batch.column("turns"), _objects(batch.column("turns"), Turn))


def _tuples_of(column: Any) -> Iterator[list[tuple[Any, ...]]]:
    return split_list(column, list(zip(*map(_values, column.flatten().flatten()), strict=True)))


def _objects(column: Any, kind: type[Item]) -> list[Item]:
    """Return the items of a list column; what the column has no field for keeps its default."""
    items = column.flatten()
    columns = {field.name: values for field, values in zip(items.type, items.flatten(), strict=True)}
    return list(
        map(
            kind,
            *(
                _filled(_values(columns[name]), field.default) if name in columns else repeat(field.default)
                for name, field in kind.__dataclass_fields__.items()  # type: ignore[attr-defined]
            ),
        )
    )


def _filled(values: list[Any], default: Any) -> list[Any]:
    if isinstance(default, (bool, int, float, str)) and None in values:
        return [default if value is None else value for value in values]
    return values


def _values(column: Any) -> list[Any]:
    if column.type == _PROMPT:
        parts = zip(*(field.to_pylist() for field in column.flatten()), strict=True)
        return list(map(partial(tuple.__new__, Prompt), parts))  # many, and Prompt's own constructor is Python
    if pa.types.is_list(column.type):
        texts = _values(column.flatten())
        return split_tuples(column, texts) if texts else [()] * len(column)
    if column.null_count == len(column):
        return [None] * len(column)
    return _shared(column) if column.type == pa.string() else column.to_pylist()


def _shared(column: Any) -> list[Any]:
    """Return texts as Python's, each distinct one once: most columns hold a few names over and over."""
    if len(column.slice(0, _PROBED).unique()) * 2 > min(len(column), _PROBED):
        return column.to_pylist()
    encoded = column.dictionary_encode()
    texts = [*encoded.dictionary.to_pylist(), None]
    return [texts[index] for index in encoded.indices.fill_null(len(texts) - 1).to_pylist()]
