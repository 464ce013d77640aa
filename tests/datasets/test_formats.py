from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from autograms.conversation.record import Memory
from autograms.datasets import build_dpo, build_sft
from autograms.datasets.formats import export_alpaca, export_sharegpt, export_trl, write_llamafactory_index
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings
from tests.memories import Recorder, desk_memories

ALL_TRAIN = DatasetSettings(validation_fraction=0)


def conversation() -> Memory:
    recorder = Recorder()
    recorder.set_system("Be kind.")
    recorder.say("user", "hi")
    recorder.say("assistant", "hello")
    recorder.say("user", "bye")
    recorder.call("reply_instruction", "Answer.", "farewell", rejected=("cu",))
    return recorder.memory


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_sharegpt(tmp_path: Path) -> None:
    files, left_out = export_sharegpt(build_sft([conversation()], ALL_TRAIN).table, tmp_path)
    assert ([path.name for path in files], left_out) == (["train_sharegpt.jsonl"], 0)
    assert lines(files[0]) == [
        {
            "conversations": [
                {"from": "human", "value": "hi"},
                {"from": "gpt", "value": "hello"},
                {"from": "human", "value": "bye\n\nAnswer."},
                {"from": "gpt", "value": "farewell"},
            ],
            "system": "Be kind.",
        }
    ]


def test_sharegpt_pairs(tmp_path: Path) -> None:
    files, _ = export_sharegpt(build_dpo([conversation()], ALL_TRAIN).table, tmp_path, kind="dpo")
    (row,) = lines(files[0])
    assert files[0].name == "train_sharegpt_dpo.jsonl"
    assert (row["chosen"], row["rejected"]) == ({"from": "gpt", "value": "farewell"}, {"from": "gpt", "value": "cu"})
    assert row["conversations"][-1]["from"] == "human"


def test_alpaca(tmp_path: Path) -> None:
    files, _ = export_alpaca(build_sft([conversation()], ALL_TRAIN).table, tmp_path)
    assert lines(files[0]) == [
        {
            "instruction": "bye\n\nAnswer.",
            "input": "",
            "output": "farewell",
            "system": "Be kind.",
            "history": [["hi", "hello"]],
        }
    ]


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    table = build_sft([conversation(), *desk_memories(4)], ALL_TRAIN).table
    files, left_out = export_sharegpt(table, tmp_path)
    fitting = len(lines(files[0]))
    assert (fitting, left_out) == (len(table) - 8, 8)


def test_no_row_that_fits_is_an_error(tmp_path: Path) -> None:
    table = build_sft(desk_memories(3), DatasetSettings(primitives=["reply_instruction"])).table
    with pytest.raises(DatasetError, match="no training row has the form of alpaca"):
        export_alpaca(table, tmp_path)


def test_llamafactory_index(tmp_path: Path) -> None:
    export_sharegpt(build_sft([conversation()], ALL_TRAIN).table, tmp_path)
    export_sharegpt(build_dpo([conversation()], ALL_TRAIN).table, tmp_path, kind="dpo")
    export_alpaca(build_sft([conversation()], ALL_TRAIN).table, tmp_path)
    index = json.loads(write_llamafactory_index(tmp_path).read_text())
    assert {name: entry["file_name"] for name, entry in index.items()} == {
        "autograms_train_alpaca": "train_alpaca.jsonl",
        "autograms_train_sharegpt": "train_sharegpt.jsonl",
        "autograms_train_sharegpt_dpo": "train_sharegpt_dpo.jsonl",
    }
    assert index["autograms_train_sharegpt_dpo"]["ranking"] is True
    with_files = lines(tmp_path / "train_sharegpt_dpo.jsonl")[0]
    assert set(index["autograms_train_sharegpt_dpo"]["columns"].values()) == set(with_files)


def test_llamafactory_index_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no ShareGPT or Alpaca files"):
        write_llamafactory_index(tmp_path)


def test_trl_config(tmp_path: Path) -> None:
    table = build_sft(desk_memories(10), DatasetSettings()).table
    config = yaml.safe_load(export_trl(table, tmp_path, model="m", output_dir="o").read_text())
    assert config == {
        "model_name_or_path": "m",
        "dataset_name": str(tmp_path / "trl_sft"),
        "dataset_train_split": "train",
        "output_dir": "o",
        "dataset_test_split": "validation",
        "eval_strategy": "epoch",
    }
    assert sorted(path.name for path in (tmp_path / "trl_sft").iterdir()) == ["train.jsonl", "validation.jsonl"]


def test_trl_config_without_training_rows(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no training rows"):
        export_trl(build_sft([], ALL_TRAIN).table, tmp_path, model="m", output_dir="o")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_trl_itself_reads_the_config_and_the_rows(tmp_path: Path, kind: Any) -> None:
    from datasets import load_dataset
    from trl import DPOConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser

    built = (build_sft if kind == "sft" else build_dpo)(desk_memories(10), DatasetSettings())
    config = export_trl(built.table, tmp_path, model="m", output_dir=str(tmp_path / "o"), kind=kind)
    parser = TrlParser((ScriptArguments, SFTConfig if kind == "sft" else DPOConfig, ModelConfig))
    script, training, model = parser.parse_args_and_config(["--config", str(config), "--bf16", "false", "--use_cpu"])
    read = load_dataset(script.dataset_name, cache_dir=str(tmp_path / "cache"))
    assert len(read[script.dataset_train_split]) == built.report.train
    assert len(read[script.dataset_test_split]) == built.report.validation
    assert (model.model_name_or_path, str(training.eval_strategy.value)) == ("m", "epoch")
