from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autograms.datasets import build_dpo, build_sft, export_jsonl
from autograms.datasets.export import Flavor, Kind
from autograms.datasets.openai_rules import check_openai_file
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings
from tests.memories import Recorder, desk_memories

MEMORIES = desk_memories(10)
SFT = build_sft(MEMORIES, DatasetSettings()).table
DPO = build_dpo(MEMORIES, DatasetSettings()).table


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_huggingface_sft(tmp_path: Path) -> None:
    train, validation = export_jsonl(SFT, tmp_path)
    assert (train.name, validation.name) == ("train.jsonl", "validation.jsonl")
    rows = lines(train)
    first = SFT.to_pylist()[[side == "train" for side in SFT["split"].to_pylist()].index(True)]
    assert len(rows) + len(lines(validation)) == len(SFT)
    assert rows[0]["completion"] == [{"role": "assistant", "content": first["completion"]}]
    assert rows[0]["prompt"][0] == {"role": "system", "content": "You answer customers."}
    assert rows[0]["prompt"][-1]["role"] == "user"


def test_huggingface_dpo(tmp_path: Path) -> None:
    train, validation = export_jsonl(DPO, tmp_path, kind="dpo")
    assert (train.name, validation.name) == ("train_dpo.jsonl", "validation_dpo.jsonl")
    assert {tuple(row) for row in lines(train)} == {("prompt", "chosen", "rejected")}
    assert lines(train)[0]["rejected"][0]["role"] == "assistant"


def test_openai_sft_weighs_the_answer_alone(tmp_path: Path) -> None:
    train = export_jsonl(SFT, tmp_path, flavor="openai")[0]
    for row in lines(train):
        weights = [message.get("weight") for message in row["messages"] if message["role"] == "assistant"]
        assert weights == [0] * (len(weights) - 1) + [1]
        assert all("weight" not in message for message in row["messages"] if message["role"] != "assistant")
    assert max(len(row["messages"]) for row in lines(train)) > 3


def test_openai_dpo(tmp_path: Path) -> None:
    row = lines(export_jsonl(DPO, tmp_path, flavor="openai", kind="dpo")[0])[0]
    assert list(row) == ["input", "preferred_output", "non_preferred_output"]
    assert list(row["input"]) == ["messages", "tools", "parallel_tool_calls"]


@pytest.mark.parametrize(("table", "kind"), [(SFT, "sft"), (DPO, "dpo")])
def test_openai_files_pass_openais_rules(tmp_path: Path, table: Any, kind: Kind) -> None:
    train, validation = export_jsonl(table, tmp_path, flavor="openai", kind=kind)
    assert check_openai_file(train, kind=kind) == []
    assert check_openai_file(validation, kind=kind, fewest=1) == []


@pytest.mark.parametrize("flavor", ["huggingface", "openai"])
def test_no_key_without_a_value_is_written(tmp_path: Path, flavor: Flavor) -> None:
    recorder = Recorder()
    recorder.node("user", "4?")
    recorder.node("assistant", "", '{"tool_calls": [{"id": "1"}], "content": null}')
    recorder.node("tool", "4", '{"tool_call_id": "1"}')
    recorder.call("reply_instruction", "Answer.", "ok")
    table = build_sft([recorder.memory], DatasetSettings(validation_fraction=0)).table
    path = export_jsonl(table, tmp_path, flavor=flavor)[0]
    assert "null" not in path.read_text()
    assert '"tool_calls": [{"id": "1"}]' in path.read_text()


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.call("reply_instruction", "Grüße\u2028 an 東京", "ok 👍")
    table = build_sft([recorder.memory], DatasetSettings(validation_fraction=0)).table
    path = export_jsonl(table, tmp_path)[0]
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_text())["prompt"][0]["content"] == "Grüße\u2028 an 東京"


def test_a_side_without_rows_has_no_file(tmp_path: Path) -> None:
    export_jsonl(SFT, tmp_path)
    table = build_sft(MEMORIES, DatasetSettings(validation_fraction=0)).table
    assert [path.name for path in export_jsonl(table, tmp_path)] == ["train.jsonl"]
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_no_training_rows_is_an_error_and_leaves_files_alone(tmp_path: Path) -> None:
    export_jsonl(SFT, tmp_path)
    with pytest.raises(DatasetError, match=r"no training rows.*simulate more"):
        export_jsonl(SFT.slice(0, 0), tmp_path)
    assert (tmp_path / "train.jsonl").exists()


def test_a_table_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no dpo rows: the columns chosen, rejected are missing"):
        export_jsonl(SFT, tmp_path, kind="dpo")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_flavor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no export 'llama' of 'sft' rows"):
        export_jsonl(SFT, tmp_path, flavor="llama")  # type: ignore[arg-type]


@pytest.mark.long
@pytest.mark.parametrize(("table", "kind"), [(SFT, "sft"), (DPO, "dpo")])
@pytest.mark.parametrize("flavor", ["huggingface", "openai"])
def test_datasets_reads_the_files(tmp_path: Path, table: Any, kind: Kind, flavor: Flavor) -> None:
    from datasets import load_dataset

    files = export_jsonl(table, tmp_path / "out", flavor=flavor, kind=kind)
    for path in files:
        read = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        assert read[0].keys() == lines(path)[0].keys()
        assert len(read) == len(lines(path))
