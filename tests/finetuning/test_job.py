from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from autograms.errors import DatasetError, TrainingError
from autograms.finetuning.job import Job, JobSpec, finish_job, prepare_job, read_result
from autograms.finetuning.tokens import MASKS
from autograms.settings import DpoRecipe, SftRecipe
from tests.finetuning.rows import dpo_table, sft_table


def prepared(tmp_path: Path, recipe: SftRecipe | None = None, **values: object) -> Job:
    return prepare_job("sft", sft_table(40), recipe or SftRecipe(), tmp_path / "model", **values)  # type: ignore[arg-type]


def test_a_job_is_a_folder_and_a_command(tmp_path: Path) -> None:
    job = prepared(tmp_path, name="desk")
    assert job.command == [sys.executable, "-m", "autograms.finetuning.worker", str(job.spec.work / "job.json")]
    assert JobSpec.load(job.command[-1]) == job.spec
    assert job.spec.rows.is_file()
    assert not job.output_dir.exists()


def test_the_launcher_stands_before_the_worker(tmp_path: Path) -> None:
    job = prepared(tmp_path, SftRecipe(launcher=["torchrun", "--nproc_per_node", "2"]))
    assert job.command[:5] == ["torchrun", "--nproc_per_node", "2", "-m", "autograms.finetuning.worker"]


def test_the_same_job_is_taken_up_again(tmp_path: Path) -> None:
    (prepared(tmp_path).spec.work / "left").touch()
    assert (prepared(tmp_path).spec.work / "left").exists()


@pytest.mark.parametrize("recipe", [SftRecipe(seed=1), SftRecipe(max_steps=7)])
def test_another_recipe_starts_over(tmp_path: Path, recipe: SftRecipe) -> None:
    (prepared(tmp_path).spec.work / "left").touch()
    assert not (prepared(tmp_path, recipe).spec.work / "left").exists()


def test_resume_false_starts_over(tmp_path: Path) -> None:
    (prepared(tmp_path).spec.work / "left").touch()
    assert not (prepared(tmp_path, resume=False).spec.work / "left").exists()


def test_trackers_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    tracked = prepared(tmp_path, SftRecipe(report_to=["tensorboard"]))
    assert tracked.spec.fingerprint == prepared(tmp_path).spec.fingerprint


def test_the_base_is_part_of_the_fingerprint(tmp_path: Path, tiny: Path) -> None:
    def fingerprint() -> str:
        return prepare_job("dpo", dpo_table(40), DpoRecipe(), tmp_path / "model", base=tiny).spec.fingerprint

    first = fingerprint()
    config = tiny / "config.json"
    original = config.read_text(encoding="utf-8")
    config.write_text(original + " ", encoding="utf-8")
    changed = fingerprint()
    config.write_text(original, encoding="utf-8")
    assert first != changed
    assert first == fingerprint()


def test_another_form_of_the_masks_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (prepared(tmp_path).spec.work / "left").touch()
    monkeypatch.setattr("autograms.finetuning.job.MASKS", MASKS + 1)
    assert not (prepared(tmp_path).spec.work / "left").exists()


def test_no_rows_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no sft rows to train on"):
        prepare_job("sft", sft_table(40).slice(0, 0), SftRecipe(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (SftRecipe(backend="openai"), "openai_jobs"),
        (SftRecipe(model="./nowhere"), "no model at ./nowhere"),
        (DpoRecipe(), "needs an SftRecipe"),
    ],
)
def test_recipes_that_cannot_be(tmp_path: Path, recipe: SftRecipe, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        prepared(tmp_path, recipe)


def test_dpo_needs_its_start(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="base="):
        prepare_job("dpo", dpo_table(40), DpoRecipe(), tmp_path / "model")


def test_an_unfinished_job_says_what_the_worker_said(tmp_path: Path) -> None:
    job = prepared(tmp_path)
    (job.spec.work / "worker.log").write_text("one\ntwo\nout of memory\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="out of memory"):
        finish_job(job)
    job.spec.failure.write_text(json.dumps({"message": "the disk is full"}), encoding="utf-8")
    with pytest.raises(TrainingError, match="the disk is full"):
        finish_job(job)


def test_a_folder_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training record"):
        read_result(tmp_path)
    with pytest.raises(TrainingError, match="no training job"):
        JobSpec.load(tmp_path / "job.json")


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path: Path) -> None:
    spec = prepare_job("sft", sft_table(40), SftRecipe(), tmp_path / "model").spec
    assert spec.last_checkpoint() is None
    for step, state in ((9, "{}"), (10, "{}"), (100, None), (110, '{"global_step": ')):
        folder = spec.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert spec.last_checkpoint() == spec.checkpoints / "checkpoint-10"
