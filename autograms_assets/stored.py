"""Where values are stored: tables as Parquet files, models and reports as folders.

What does not belong here: Dagster (``io`` is the IO manager over these places).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from autograms.conversation.atomic import replacing
from autograms.errors import RecordError
from autograms_assets.stamps import STAMP_FILE, STAMP_KEY, Stamp

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["Folder", "Stored"]

_DAMAGED = "materialize it again"


@dataclass(frozen=True)
class Stored:
    """A table in storage, opened only when it is asked for.

    Attributes:
        path: The Parquet file.
    """

    path: UPath

    def exists(self) -> bool:
        """Return whether something is stored."""
        return self.path.exists()

    def stamp(self) -> Stamp | None:
        """Return the stamp; ``None`` where nothing is stored, or nothing that can be read."""
        try:
            metadata = self.schema().metadata or {}
        except (FileNotFoundError, RecordError):
            return None
        return Stamp.from_json(metadata.get(STAMP_KEY, b""))

    @property
    def version(self) -> str:
        """The content hash of what is stored.

        Raises:
            RecordError: Where the file is damaged or was not written by an asset.
        """
        stamp = self.stamp()
        if stamp is None:
            raise RecordError(f"{self.path} carries no stamp of an asset; {_DAMAGED}")
        return stamp.version

    def schema(self) -> pa.Schema:
        """Return the table's schema.

        Raises:
            FileNotFoundError: Where nothing is stored.
            RecordError: Where the file is damaged.
        """
        try:
            with self.path.open("rb") as file:
                return pq.read_schema(file)
        except pa.ArrowException as error:
            raise RecordError(f"{self.path} is not a whole Parquet file ({error}); {_DAMAGED}") from None

    def table(self) -> pa.Table:
        """Read the whole table.

        Raises:
            FileNotFoundError: Where nothing is stored.
            RecordError: Where the file is damaged.
        """
        try:
            with self.path.open("rb") as file:
                return pq.read_table(file)
        except pa.ArrowException as error:
            raise RecordError(f"{self.path} is not a whole Parquet file ({error}); {_DAMAGED}") from None

    def batches(self) -> pa.RecordBatchReader:
        """Return the table as a stream of record batches, in memory one at a time."""
        return pa.RecordBatchReader.from_batches(self.schema(), self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with self.path.open("rb") as file, pq.ParquetFile(file) as source:
            yield from source.iter_batches()

    def write(self, batches: pa.RecordBatchReader) -> int:
        """Store a stream of record batches in place of what is there, whole or not at all.

        Returns:
            The number of rows.
        """
        rows = 0
        with (
            replacing(self.path) as file,
            pq.ParquetWriter(file, batches.schema, compression="zstd") as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows


@dataclass(frozen=True)
class Folder:
    """A folder in storage: a model, or a report with its pictures.

    Attributes:
        path: The folder, on this machine.
    """

    path: Path

    def exists(self) -> bool:
        """Return whether something is stored."""
        return (self.path / STAMP_FILE).is_file()

    def stamp(self) -> Stamp | None:
        """Return the stamp; ``None`` where nothing is stored, or nothing that is whole."""
        file = self.path / STAMP_FILE
        return Stamp.from_json(file.read_bytes()) if file.is_file() else None

    @property
    def version(self) -> str:
        """The content hash of what is stored.

        Raises:
            RecordError: Where the folder is missing or was not written by an asset.
        """
        stamp = self.stamp()
        if stamp is None:
            raise RecordError(f"{self.path} carries no stamp of an asset; {_DAMAGED}")
        return stamp.version

    def write(self, stamp: Stamp) -> None:
        """Put the stamp on the finished folder; the last thing that is written."""
        with replacing(self.path / STAMP_FILE) as file:
            file.write(stamp.to_json().encode())

    def invalidate(self) -> None:
        """Take the stamp off, before the folder's content changes."""
        (self.path / STAMP_FILE).unlink(missing_ok=True)
