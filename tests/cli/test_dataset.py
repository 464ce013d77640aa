import json
import re
from pathlib import Path

import pytest
import typer.main

from autograms.cli.main import build_app, main
from autograms.cli.results import write_results
from autograms.errors import SettingsError
from autograms.settings import DatasetSettings
from tests.cli.conftest import Run, assert_one_message
from tests.memories import desk_memories, desk_memory


@pytest.fixture
def folder(tmp_path):
    write_results(tmp_path, list(desk_memories(6)))
    return tmp_path


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def all_rows(folder: Path) -> list[dict]:
    return [*rows(folder / "train.jsonl"), *rows(folder / "validation.jsonl")]


def test_other_trainers_forms_are_written(folder, capsys):
    assert main(["dataset", "--save_dir", str(folder), "--also", "sharegpt", "--also", "alpaca", "--also", "trl"]) == 0
    index = json.loads((folder / "dataset_info.json").read_text())
    assert {entry["file_name"] for entry in index.values()} >= {"train_sharegpt.jsonl", "train_alpaca.jsonl"}
    assert (folder / "trl_sft.yaml").is_file()
    assert "train.jsonl" in capsys.readouterr().out


def test_pairs_have_no_alpaca_form(folder, capsys):
    assert main(["dataset", "--save_dir", str(folder), "--finetuning_type", "dpo", "--also", "alpaca"]) == 2
    assert "sharegpt" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------- flags and settings


@pytest.mark.parametrize("command", ["dataset", "finetune", "evaluate"])
def test_every_setting_of_a_dataset_has_a_flag(command: str) -> None:
    parameters = typer.main.get_command(build_app()).commands[command].params
    flags = {flag for parameter in parameters for flag in parameter.opts}
    assert {f"--{name}" for name in DatasetSettings.model_fields} <= flags


def test_flags_become_settings(monkeypatch: pytest.MonkeyPatch, run: Run, folder: Path) -> None:
    """Each flag reaches the setting of its name; what is not given keeps its default."""
    found: list[DatasetSettings] = []

    def build(save_dir: Path, settings: DatasetSettings, **options: object) -> None:
        found.append(settings)
        raise SettingsError("seen")

    monkeypatch.setattr("autograms.cli.rows.build_rows", build)
    run("dataset", "--save_dir", folder)
    assert found == [DatasetSettings()]
    given = {
        "tag_query": "formal",
        "min_score": 0.5,
        "require_supervisor": True,
        "primitives": ["yes_or_no", "thought"],
        "exclude_primitives": ["thought"],
        "statuses": ["completed", "failed"],
        "validation_fraction": 0.5,
        "split_seed": 3,
        "group_by": ["user_kwargs.persona"],
        "hold_out": {"user_kwargs.persona": ["angry", "in a hurry"], "num_turns": [3]},
        "deduplicate": False,
        "near_duplicates": 0.8,
        "max_tokens_total": 1000,
    }
    assert set(given) == set(DatasetSettings.model_fields)
    run(
        *("dataset", "--save_dir", folder, "--tag_query", "formal", "--min_score", 0.5, "--require_supervisor"),
        *("--primitives", "yes_or_no", "--primitives", "thought", "--exclude_primitives", "thought"),
        *("--statuses", "completed", "--statuses", "failed", "--validation_fraction", 0.5, "--split_seed", 3),
        *("--group_by", "user_kwargs.persona", "--hold_out", "user_kwargs.persona=angry", "--no_deduplicate"),
        *("--hold_out", "user_kwargs.persona=in a hurry", "--hold_out", "num_turns=3", "--near_duplicates", 0.8),
        *("--max_tokens_total", 1000),
    )
    assert found[1] == DatasetSettings(**given)


def test_flags_override_a_recipe_files_dataset(run: Run, folder: Path) -> None:
    recipe = folder / "recipe.toml"
    recipe.write_text('[dataset]\ndeduplicate = false\nprimitives = ["yes_or_no"]\n')
    arguments = ("finetune", "--save_dir", folder, "--prepare_data_only", "--config_file", recipe)
    assert run(*arguments).status == 0
    assert len(all_rows(folder)) == 6
    assert run(*arguments, "--primitives", "reply_instruction", "--primitives", "yes_or_no").status == 0
    assert len(all_rows(folder)) == 12


def test_equal_rows_stay_where_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    write_results(tmp_path, [desk_memory(number, product="lamp") for number in range(6)])
    assert run("dataset", "--save_dir", tmp_path, "--validation_fraction", 0).status == 0
    assert len(rows(tmp_path / "train.jsonl")) == 3
    assert run("dataset", "--save_dir", tmp_path, "--validation_fraction", 0, "--no_deduplicate").status == 0
    assert len(rows(tmp_path / "train.jsonl")) == 18


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (("--hold_out", "persona"), ("--hold_out 'persona'", "FIELD=VALUE")),
        (("--max_tokens_total", 0), ("max_tokens_total",)),
        (("--near_duplicates", 2), ("near_duplicates",)),
        (("--statuses", "lost"), ("--statuses", "'truncated'")),
        (("audit",), ("--model",)),
        (("audit", "--model", "./nowhere"), ("./nowhere",)),
    ],
)
def test_wrong_flags_are_named(run: Run, folder: Path, flags: tuple, parts: tuple[str, ...]) -> None:
    assert_one_message(run("dataset", *flags, "--save_dir", folder), *parts)


# ---------------------------------------------------------------------------------------------------- tokens of a model


def test_an_audit_counts_and_writes_nothing(run: Run, folder: Path) -> None:
    before = sorted(folder.iterdir())
    ended = run("dataset", "audit", "--model", "tiny", "--save_dir", folder)
    assert ended.status == 0, ended.err
    assert "rows trained on" in ended.out
    assert "|" not in ended.out
    assert "tokens with loss" in ended.out
    assert sorted(folder.iterdir()) == before
    ended = run("dataset", "audit", "--model", "tiny", "--max_length", 40, "--save_dir", folder)
    assert re.search(r"longer than the limit +[1-9]", ended.out)


def test_a_budget_is_counted_in_the_models_own_tokens(run: Run, folder: Path) -> None:
    arguments = ("dataset", "--save_dir", folder, "--max_tokens_total", 300)
    assert "an estimate" in run(*arguments).out
    estimated = len(rows(folder / "train.jsonl"))
    ended = run(*arguments, "--model", "tiny")
    assert ended.status == 0, ended.err
    assert "the tokenizer that was given" in ended.out
    assert "beyond the token budget" in ended.out
    assert len(rows(folder / "train.jsonl")) != estimated
