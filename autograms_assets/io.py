"""The IO manager: every table of every asset is one Parquet file below the storage's root.

Tables pass by annotation: ``pyarrow.Table``, ``pandas.DataFrame``, ``pyarrow.RecordBatchReader`` (a stream, one batch
in memory at a time) or :class:`~autograms_assets.stored.Stored` (opened when it is asked for). What does not belong
here: folders (models, reports), which assets write themselves.
"""

from typing import Any

import dagster as dg
import pyarrow as pa
from upath import UPath

from autograms.conversation.storage import ensure_reachable
from autograms_assets.columns import COLUMNS
from autograms_assets.failures import clear_failures
from autograms_assets.stored import Stored

__all__ = ["ParquetIOManager", "table_metadata"]


class ParquetIOManager(dg.UPathIOManager):
    """Reads and writes Parquet files, on disk and in object stores.

    Args:
        base_path: The storage's root.
    """

    extension: str | None = ".parquet"

    def __init__(self, base_path: UPath) -> None:
        super().__init__(base_path=base_path)

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        """Write a table, whole or not at all."""
        batches = _as_batches(obj)
        rows = Stored(path).write(batches)
        context.add_output_metadata(table_metadata(batches.schema, rows))

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        """Read a table in the form that the input is annotated with."""
        with clear_failures(path):
            return self._load(context, Stored(path))

    def _load(self, context: dg.InputContext, stored: Stored) -> Any:
        if not stored.exists():
            ensure_reachable(stored.path.parent)
            asset = context.asset_key.to_user_string()
            partition = f" for {context.asset_partition_key!r}" if context.has_asset_partitions else ""
            raise dg.Failure(
                f"{asset} has nothing stored{partition}: {stored.path} does not exist; materialize {asset} first, or "
                f"{context.op_def.name} with all that it needs: --select '*{context.op_def.name}'",
                allow_retries=False,
            )
        return _in_form(stored, context.dagster_type.typing_type)


def table_metadata(schema: pa.Schema, rows: int) -> dict[str, Any]:
    """Return the metadata that Dagster shows as a table's size and columns."""
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            description=COLUMNS.get(field.name),
            constraints=dg.TableColumnConstraints(nullable=field.nullable),
        )
        for field in schema
    ]
    return {"dagster/row_count": rows, "dagster/column_schema": dg.TableSchema(columns=columns)}


def _as_batches(obj: Any) -> pa.RecordBatchReader:
    if isinstance(obj, pa.RecordBatchReader):
        return obj
    if isinstance(obj, pa.Table):
        return obj.to_reader()
    if type(obj).__module__.partition(".")[0] == "pandas":  # asked by name, so that pandas is not imported for it
        return pa.Table.from_pandas(obj, preserve_index=False).to_reader()
    raise dg.Failure(
        f"cannot store a {type(obj).__name__}; expected a pyarrow.Table, a pyarrow.RecordBatchReader or a "
        "pandas.DataFrame",
        allow_retries=False,
    )


def _in_form(stored: Stored, wanted: Any) -> Any:
    if wanted is Stored:
        return stored
    if wanted in (pa.Table, Any):
        return stored.table()
    if wanted is pa.RecordBatchReader:
        return stored.batches()
    if getattr(wanted, "__module__", "").partition(".")[0] == "pandas":
        return stored.table().to_pandas()
    raise dg.Failure(
        f"cannot load a table as {wanted}; annotate the input with pyarrow.Table, pyarrow.RecordBatchReader, "
        "pandas.DataFrame or autograms_assets.stored.Stored",
        allow_retries=False,
    )
