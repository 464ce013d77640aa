"""Conversations in Parquet files: zstd, checksums, written whole or not at all, read a few hundred at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from autograms.conversation.atomic import AnyPath, replacing, storage_path
from autograms.conversation.garbage import collecting_seldom
from autograms.conversation.record import Memory
from autograms.conversation.table import (
    MEMORY_SCHEMA,
    ROWS_AT_ONCE,
    VERSION_KEY,
    conform,
    from_batch,
    refuse_newer,
    schema_without,
    to_batches,
)
from autograms.errors import RecordError

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from upath import UPath

__all__ = ["read_memories", "read_table", "stream_memories", "write_memories"]


def write_memories(
    path: AnyPath | UPath, memories: Iterable[Memory], *, metadata: dict[str, str] | None = None
) -> None:
    """Write conversations to a Parquet file, whole or not at all, a few hundred at a time.

    Args:
        path: The file, on this machine or in an object store.
        memories: The conversations; an iterator is read as it is written.
        metadata: Texts to keep in the file's metadata beside the schema version.

    Raises:
        RecordError: Where a memory holds a value that its column cannot.
    """
    import pyarrow.parquet as pq

    own = MEMORY_SCHEMA.metadata or {}
    schema = MEMORY_SCHEMA.with_metadata({**{k.encode(): v.encode() for k, v in (metadata or {}).items()}, **own})
    with (
        collecting_seldom(),
        replacing(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for batch in to_batches(memories):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def read_memories(path: AnyPath | UPath) -> list[Memory]:
    """Read the conversations of a Parquet file.

    Raises:
        RecordError: Where the file is missing, damaged, of a newer schema version, or holds something else.
    """
    return list(stream_memories(path))


def stream_memories(path: AnyPath | UPath, *, leave_out: Sequence[str] = ()) -> Iterator[Memory]:
    """Read the conversations of a Parquet file a few hundred at a time.

    Args:
        path: The file.
        leave_out: What need not be read and keeps its default: attributes of a memory (``turns``) or of its calls
            (``calls.request``).

    Raises:
        RecordError: As :func:`read_memories`.
    """
    schema = schema_without(leave_out)
    with _reading(path) as source:
        _check_file(source, path)
        for batch in source.iter_batches(ROWS_AT_ONCE, columns=_paths(source, schema)):
            table = conform(pa.Table.from_batches([batch]), str(path), schema)
            for part in table.to_batches():
                yield from from_batch(part)


def _paths(source: pq.ParquetFile, wanted: pa.Schema) -> list[str]:
    """Return the leaves of a file that are read: those of whole columns, and of the calls those that are wanted."""
    calls = {field.name for field in wanted.field("calls").type.value_type}
    paths = [source.schema.column(leaf).path.split(".") for leaf in range(len(source.schema))]
    return [
        ".".join(path)
        for path in paths
        if path[0] in wanted.names and (path[0] != "calls" or len(path) < 4 or path[3] in calls)
    ]


def read_table(path: AnyPath | UPath, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns of a file of conversations without making memories of them.

    Args:
        path: The file.
        columns: Column names, or paths in nested columns (``calls.list.element.cost_usd``); all where ``None``.

    Raises:
        RecordError: As :func:`read_memories`.
    """
    with _reading(path) as source:
        _check_file(source, path)
        return source.read(columns=None if columns is None else list(columns))


@contextmanager
def _reading(path: AnyPath | UPath) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    try:
        with _open(path) as file, pq.ParquetFile(file, page_checksum_verification=True) as source:
            yield source
    except FileNotFoundError:
        raise RecordError(f"no conversations at {path}: the file does not exist; simulate first") from None
    except (pa.ArrowException, OSError) as error:
        raise RecordError(
            f"{path} is damaged or no Parquet file ({error}); remove it and materialize or simulate again"
        ) from None


def _open(path: AnyPath | UPath) -> IO[bytes]:
    return storage_path(path).open("rb")


def _check_file(source: pq.ParquetFile, path: AnyPath | UPath) -> None:
    metadata = source.schema_arrow.metadata or {}
    version = metadata.get(VERSION_KEY, b"1").decode()
    refuse_newer(int(version) if version.isdigit() else 0, str(path))
