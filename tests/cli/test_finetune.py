"""``autograms dataset`` and ``autograms finetune``: files beside the conversations, and a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prepares_rows_for_hugging_face(run: Run, simulated: Path) -> None:
    ended = run("finetune", "--save_dir", simulated, "--prepare_data_only")
    assert ended.status == 0, ended.err
    train, validation = rows(simulated / "train.jsonl"), rows(simulated / "validation.jsonl")
    assert len(train) + len(validation) == 12
    assert train[0]["prompt"][-1]["content"].endswith("Greet the person.")
    assert train[0]["completion"][0]["content"].startswith("Good day")


def test_prepares_pairs(run: Run, simulated: Path) -> None:
    assert run("finetune", "--save_dir", simulated, "--prepare_data_only", "--finetuning_type", "dpo").status == 0
    assert set(rows(simulated / "train_dpo.jsonl")[0]) == {"prompt", "chosen", "rejected"}


def test_prepares_rows_for_openai(run: Run, simulated: Path) -> None:
    arguments = ("finetune", "--save_dir", simulated, "--prepare_data_only", "--model_type", "openai")
    assert run(*arguments, "--finetuning_type", "dpo").status == 0
    assert "preferred_output" in rows(simulated / "train_dpo.jsonl")[0]
    assert run(*arguments).status == 0
    assert rows(simulated / "train.jsonl")[0]["messages"][-1]["weight"] == 1


def test_reads_pickles_where_there_is_no_table(run: Run, simulated: Path) -> None:
    (simulated / "memories.parquet").unlink()
    assert run("finetune", "--save_dir", simulated, "--prepare_data_only").status == 0
    assert len(rows(simulated / "train.jsonl")) + len(rows(simulated / "validation.jsonl")) == 12


def test_preparing_data_imports_no_torch(simulated: Path) -> None:
    code = (
        "import sys; from autograms.cli.main import main; "
        f"status = main(['finetune', '--save_dir', {str(simulated)!r}, '--prepare_data_only']); "
        "print(status, sorted({'torch', 'transformers', 'trl', 'openai', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_dataset_writes_elsewhere(run: Run, simulated: Path, tmp_path: Path) -> None:
    ended = run("dataset", "--save_dir", simulated, "--output_dir", tmp_path / "rows", "--tag_query", "greeting")
    assert ended.status == 0
    assert "12 rows" in ended.out
    assert (tmp_path / "rows/train.jsonl").is_file()


def test_nothing_matches(run: Run, simulated: Path) -> None:
    assert_one_message(run("dataset", "--save_dir", simulated, "--min_score", "1"), "no training rows")
    assert not (simulated / "train.jsonl").exists()


def test_bad_tag_query(run: Run, simulated: Path) -> None:
    assert_one_message(run("dataset", "--save_dir", simulated, "--tag_query", "greeting & ("), "position")


@pytest.mark.parametrize("command", ["dataset", "finetune", "evaluate"])
def test_no_conversations(run: Run, tmp_path: Path, command: str) -> None:
    more = ("--prepare_data_only",) if command == "finetune" else ()
    assert_one_message(run(command, "--save_dir", tmp_path / "nowhere", *more), "nowhere")


def test_a_hostile_pickle_is_refused(run: Run, tmp_path: Path) -> None:
    import pickle

    (tmp_path / "example0.pkl").write_bytes(pickle.dumps(print))
    assert_one_message(run("dataset", "--save_dir", tmp_path), "example0.pkl", "print")


def test_a_damaged_table_is_named(run: Run, simulated: Path) -> None:
    table = simulated / "memories.parquet"
    table.write_bytes(table.read_bytes()[:200])
    assert_one_message(run("dataset", "--save_dir", simulated), "memories.parquet")


def test_a_model_must_be_named(run: Run, simulated: Path) -> None:
    assert_one_message(run("finetune", "--save_dir", simulated), "--model")


def test_preferences_need_a_start(run: Run, simulated: Path) -> None:
    ended = run("finetune", "--save_dir", simulated, "--model", "tiny", "--finetuning_type", "dpo")
    assert_one_message(ended, "sft_model", "--finetuning_type normal")


def test_beta_is_for_preferences(run: Run, simulated: Path) -> None:
    assert_one_message(run("finetune", "--save_dir", simulated, "--model", "tiny", "--beta", "1"), "--beta")


def test_recipe_files(run: Run, simulated: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    arguments = ("finetune", "--save_dir", simulated, "--prepare_data_only", "--config_file", recipe)
    recipe.write_text("max_stps = 3\n")
    assert_one_message(run(*arguments), "recipe.toml", "did you mean 'max_steps'")
    recipe.write_text("batch_size = 0\n")
    assert_one_message(run(*arguments), "batch_size")
    recipe.write_text('max_steps = 3\n[dataset]\ntag_query = "greeting"\nvalidation_fraction = 0.5\n')
    assert run(*arguments).status == 0
    assert len(rows(simulated / "validation.jsonl")) > 3


def test_a_configuration_of_autograms_has_no_effect_and_says_so(run: Run, simulated: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"chatbot_path": "gpt-4o"}')
    ended = run("finetune", "--save_dir", simulated, "--prepare_data_only", "--config_file", config)
    assert ended.status == 0
    assert "warning" in ended.err
    assert "no effect" in ended.err


@pytest.mark.long
def test_trains_and_evaluates_the_embedded_student(run: Run, simulated: Path) -> None:
    ended = run("finetune", "--save_dir", simulated, "--model", "tiny", "--max_steps", 4)
    assert ended.status == 0, ended.err
    assert "--model checkpoint/../" in ended.out
    assert "checkpoint//" not in ended.out
    assert (simulated / "sft_model/config.json").is_file()
    assert "held-out loss" in ended.out
    ended = run("finetune", "--save_dir", simulated, "--model", "tiny", "--finetuning_type", "dpo", "--max_steps", 2)
    assert ended.status == 0, ended.err
    ended = run("evaluate", "--save_dir", simulated)
    assert ended.status == 0, ended.err
    assert "sft" in json.loads((simulated / "evaluation/metrics.json").read_text())
