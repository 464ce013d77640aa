import json

import pytest

from autograms.cli.main import main
from autograms.cli.results import write_results
from tests.memories import desk_memories


@pytest.fixture
def folder(tmp_path):
    write_results(tmp_path, list(desk_memories(6)))
    return tmp_path


def test_other_trainers_forms_are_written(folder, capsys):
    assert main(["dataset", "--save_dir", str(folder), "--also", "sharegpt", "--also", "alpaca", "--also", "trl"]) == 0
    index = json.loads((folder / "dataset_info.json").read_text())
    assert {entry["file_name"] for entry in index.values()} >= {"train_sharegpt.jsonl", "train_alpaca.jsonl"}
    assert (folder / "trl_sft.yaml").is_file()
    assert "train.jsonl" in capsys.readouterr().out


def test_pairs_have_no_alpaca_form(folder, capsys):
    assert main(["dataset", "--save_dir", str(folder), "--finetuning_type", "dpo", "--also", "alpaca"]) == 2
    assert "sharegpt" in capsys.readouterr().err
