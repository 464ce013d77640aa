from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from upath import UPath

from autograms_assets.io import ParquetIOManager
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.stored import Stored

TABLE = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "text": ["a", None, "c"]})


def round_trip(
    root: UPath, value: Any, wanted: Any, *, partitioned: bool = True
) -> tuple[dg.ExecuteInProcessResult, Any]:
    """Store a value by one asset and load it, in the form that is wanted, by another."""
    seen = []
    partitions = {"partitions_def": AUTOGRAMS} if partitioned else {}

    @dg.asset(**partitions)
    def upstream() -> Any:
        return value

    def load(upstream: Any) -> None:
        seen.append(upstream.read_all() if isinstance(upstream, pa.RecordBatchReader) else upstream)

    load.__annotations__["upstream"] = wanted
    downstream = dg.asset(name="downstream", **partitions)(load)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("autogram", ["desk"])
        result = dg.materialize(
            [upstream, downstream],
            instance=instance,
            partition_key="desk" if partitioned else None,
            resources={"io_manager": ParquetIOManager(root)},
            raise_on_error=False,
        )
    return result, seen[0] if seen else None


@pytest.mark.parametrize("given", [TABLE, TABLE.to_pandas(), TABLE.to_reader(max_chunksize=1)])
def test_takes_every_form(tmp_path: Path, given: Any) -> None:
    result, found = round_trip(UPath(tmp_path), given, pa.Table)
    assert result.success
    assert found.to_pydict() == TABLE.to_pydict()
    assert (tmp_path / "upstream" / "desk.parquet").is_file()


@pytest.mark.parametrize("wanted", [pa.Table, pd.DataFrame, pa.RecordBatchReader, Any])
def test_gives_the_annotated_form(tmp_path: Path, wanted: Any) -> None:
    _, found = round_trip(UPath(tmp_path), TABLE, wanted)
    assert isinstance(found, pd.DataFrame if wanted is pd.DataFrame else pa.Table)
    assert (found if isinstance(found, pa.Table) else pa.Table.from_pandas(found)).num_rows == 3


def test_a_stored_table_is_opened_when_asked(tmp_path: Path) -> None:
    _, found = round_trip(UPath(tmp_path), TABLE, Stored)
    assert isinstance(found, Stored)
    assert found.table().equals(TABLE)


def test_unpartitioned_tables_stand_at_the_root(tmp_path: Path) -> None:
    result, found = round_trip(UPath(tmp_path), TABLE, pa.Table, partitioned=False)
    assert result.success
    assert found.equals(TABLE)
    assert (tmp_path / "upstream.parquet").is_file()


def test_an_object_store_works_alike() -> None:
    root = UPath("memory://autograms-io-test")
    result, found = round_trip(root, TABLE, pa.Table)
    assert result.success
    assert found.equals(TABLE)
    assert (root / "upstream" / "desk.parquet").exists()


def test_metadata_tells_rows_and_columns(tmp_path: Path) -> None:
    result, _ = round_trip(UPath(tmp_path), TABLE, pa.Table)
    metadata = result.asset_materializations_for_node("upstream")[0].metadata
    assert metadata["dagster/row_count"].value == 3
    schema = metadata["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    assert [(column.name, column.type) for column in schema.columns] == [("id", "int64"), ("text", "string")]


@pytest.mark.parametrize(
    ("value", "wanted", "message"),
    [({"a": 1}, pa.Table, "cannot store a dict"), (TABLE, int, "cannot load a table as <class 'int'>")],
)
def test_other_forms_are_refused(tmp_path: Path, value: Any, wanted: Any, message: str) -> None:
    result, _ = round_trip(UPath(tmp_path), value, wanted)
    failure = result.get_step_failure_events()[0].step_failure_data
    assert message in str(failure.user_failure_data.description if failure.user_failure_data else failure.error)


def test_a_stream_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    round_trip(UPath(tmp_path), TABLE, pa.Table)

    def batches() -> Any:
        yield TABLE.to_batches()[0]
        raise OSError("the source went away")

    result, _ = round_trip(UPath(tmp_path), pa.RecordBatchReader.from_batches(TABLE.schema, batches()), pa.Table)
    assert not result.success
    assert Stored(UPath(tmp_path / "upstream" / "desk.parquet")).table().equals(TABLE)
    assert [path.name for path in (tmp_path / "upstream").iterdir()] == ["desk.parquet"]
