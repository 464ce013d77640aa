"""Where values are stored: tables as Parquet files, models and reports as folders.

What does not belong here: Dagster (``io`` is the IO manager over these places).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from autograms.conversation.atomic import replacing
from autograms.conversation.storage import fetch_folder
from autograms.errors import RecordError
from autograms_assets.stamps import STAMP_FILE, STAMP_KEY, Stamp

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["Folder", "Stored"]

_DAMAGED = "materialize it again"
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Stored:
    """A table in storage, opened only when it is asked for.

    Attributes:
        path: The Parquet file.
    """

    path: Path | UPath

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
                return pq.ParquetFile(file).read()  # read_table leaves a thread that may abort a process that ends
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

    Its files are made in ``work`` and read from :meth:`local`, both folders of this machine. Where the storage is on
    this machine, all three are one folder; an object store is given a copy of it, and read into one.

    Attributes:
        path: Where the folder is stored.
        work: Where its files are made.
    """

    path: Path | UPath
    work: Path

    @property
    def _here(self) -> bool:
        return isinstance(self.path, Path)

    def exists(self) -> bool:
        """Return whether something is stored."""
        return (self.path / STAMP_FILE).is_file()

    def stamp(self) -> Stamp | None:
        """Return the stamp; ``None`` where nothing is stored, or nothing that is whole."""
        return _stamp_in(self.path)

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

    def local(self) -> Path:
        """Return a folder of this machine with what is stored; it is fetched where it is not there already.

        Raises:
            RecordError: Where the folder is missing or was not written by an asset.
        """
        if self._here:
            return self.work
        if self.stamp() is None:
            raise RecordError(f"{self.path} carries no stamp of an asset; {_DAMAGED}")
        assert not isinstance(self.path, Path)
        return fetch_folder(self.path, self.work, last=STAMP_FILE)

    def write(self, stamp: Stamp) -> None:
        """Store the finished folder; the stamp is the last thing that is written."""
        with replacing(self.work / STAMP_FILE) as file:
            file.write(stamp.to_json().encode())
        if not self._here:
            self._put()

    def _put(self) -> None:
        (self.path / STAMP_FILE).unlink(missing_ok=True)
        made = {file.relative_to(self.work).as_posix(): file for file in _files(self.work)}
        for file in _files(self.path):
            if file.relative_to(self.path).as_posix() not in made:
                file.unlink()
        for name, file in sorted(made.items(), key=lambda item: _stamp_last(item[1])):
            with file.open("rb") as source, replacing(self.path / name) as target:
                shutil.copyfileobj(source, target, _BLOCK)

    def invalidate(self) -> None:
        """Take the stamp off, before the folder's content changes."""
        for place in (self.path, self.work):
            (place / STAMP_FILE).unlink(missing_ok=True)


def _stamp_in(folder: Path | UPath) -> Stamp | None:
    try:
        return Stamp.from_json((folder / STAMP_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _files(folder: Path | UPath) -> list[Any]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _stamp_last(file: Path | UPath) -> bool:
    return file.name == STAMP_FILE
