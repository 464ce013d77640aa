"""The stored tables and exported files, read by the programs that people read them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from autograms.conversation.parquet import write_memories
from autograms.datasets import build_dpo, build_sft, export_jsonl
from autograms.settings import DatasetSettings
from tests.memories import desk_memories

MEMORIES = desk_memories(10)
TABLES = {"sft": build_sft(MEMORIES, DatasetSettings()).table, "dpo": build_dpo(MEMORIES, DatasetSettings()).table}


@pytest.fixture(params=["sft", "dpo"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def rows(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / f"{kind}.parquet"
    pq.write_table(TABLES[kind], path, compression="zstd")
    return path


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    write_memories(tmp_path / "memories.parquet", MEMORIES)
    return tmp_path / "memories.parquet"


def test_duckdb_reads_rows(rows: Path, kind: str) -> None:
    assert duckdb.sql(f"SELECT * FROM '{rows}'").to_arrow_table().to_pylist() == TABLES[kind].to_pylist()
    counts = duckdb.sql(f"SELECT split, count(*) FROM '{rows}' GROUP BY split").fetchall()
    assert dict(counts) == dict(pd.Series(TABLES[kind]["split"].to_pylist()).value_counts())
    asked = duckdb.sql(
        f"SELECT prompt[-1].content FROM '{rows}' WHERE list_contains(tags, 'formal') LIMIT 1"
    ).fetchall()
    assert asked == [("my lamp 0 broke\n\nAnswer formally.",)]


def test_duckdb_reads_conversations(conversations: Path) -> None:
    spent = duckdb.sql(f"""
        SELECT call.primitive, count(*), sum(call.cost_usd)
        FROM (SELECT unnest(calls) AS call FROM '{conversations}') GROUP BY ALL ORDER BY 3 DESC NULLS LAST
    """).fetchall()
    assert spent[0] == ("thought", 20, pytest.approx(1.0))
    assert spent[1] == ("generate_object", 10, pytest.approx(0.1))


def test_polars_reads_rows(rows: Path, kind: str) -> None:
    frame = pl.read_parquet(rows)
    assert frame.to_dicts() == TABLES[kind].to_pylist()
    held = pl.scan_parquet(rows).filter(pl.col("split") == "validation").select(pl.len()).collect().item()
    assert held == TABLES[kind]["split"].to_pylist().count("validation")


def test_polars_reads_conversations(conversations: Path) -> None:
    calls = pl.read_parquet(conversations).select(pl.col("calls").explode()).unnest("calls")
    assert len(calls) == sum(len(memory.calls) for memory in MEMORIES)
    assert calls["output"].to_list() == [call.output for memory in MEMORIES for call in memory.calls]


def test_pandas_reads_rows(rows: Path, kind: str) -> None:
    frame = pd.read_parquet(rows)
    assert list(frame.columns) == TABLES[kind].column_names
    assert list(frame["id"]) == TABLES[kind]["id"].to_pylist()
    assert list(frame["prompt"][0]) == TABLES[kind]["prompt"][0].as_py()


def test_pandas_reads_conversations(conversations: Path) -> None:
    frame = pd.read_parquet(conversations, columns=["scenario", "turns"])
    assert frame["turns"][3][1]["content"] == "my radio 3 broke"


def test_rows_written_by_others_are_read_back(rows: Path, kind: str, tmp_path: Path) -> None:
    """A table that someone filtered in Polars trains as it is."""
    pl.read_parquet(rows).write_parquet(tmp_path / "polars.parquet")
    again = pq.read_table(tmp_path / "polars.parquet")
    assert again.to_pylist() == TABLES[kind].to_pylist()
    written = export_jsonl(again, tmp_path / "out", kind=kind)
    assert written[0].read_bytes() == export_jsonl(TABLES[kind], tmp_path / "own", kind=kind)[0].read_bytes()


@pytest.mark.long
def test_datasets_reads_rows(rows: Path, kind: str, tmp_path: Path) -> None:
    from datasets import load_dataset

    read = load_dataset("parquet", data_files=str(rows), split="train", cache_dir=str(tmp_path / "cache"))
    assert read.to_list() == TABLES[kind].to_pylist()


@pytest.mark.long
def test_trl_trains_on_the_files(kind: str, tmp_path: Path) -> None:
    """TRL's own trainer takes ``train.jsonl`` as it is, and trains on the answers alone."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from autograms.finetuning.student import build_tiny

    train, _ = export_jsonl(TABLES[kind], tmp_path / "out", kind=kind)
    read = load_dataset("json", data_files=str(train), split="train", cache_dir=str(tmp_path / "cache"))
    student = build_tiny([train.read_text()], tmp_path / "student")
    tokenizer = AutoTokenizer.from_pretrained(student)
    options: dict[str, Any] = {
        "output_dir": str(tmp_path / "o"), "max_steps": 1, "use_cpu": True, "bf16": False, "report_to": [],
        "per_device_train_batch_size": 2,
    }  # fmt: skip
    trainer_type, config = (SFTTrainer, SFTConfig) if kind == "sft" else (DPOTrainer, DPOConfig)
    trainer = trainer_type(
        model=AutoModelForCausalLM.from_pretrained(student), args=config(**options), train_dataset=read,
        processing_class=tokenizer,
    )  # fmt: skip
    assert trainer.train().training_loss > 0
    batch = next(iter(trainer.get_train_dataloader()))
    if kind == "sft":
        learned = {tokenizer.decode(row[row != -100], skip_special_tokens=True).strip() for row in batch["labels"]}
        assert learned <= set(TABLES["sft"]["completion"].to_pylist())
