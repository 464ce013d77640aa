from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from autograms.errors import DatasetError, TrainingError
from autograms.finetuning import prepare_job, read_result, run_job, train_dpo, train_sft
from autograms.finetuning.job import TrainingResult, finish_job
from autograms.finetuning.student import build_tiny
from autograms.settings import DpoRecipe, LoraSettings, SftRecipe
from tests.finetuning.rows import dpo_table, sft_table
from tests.finetuning.small import Small

# Real trainings: on a busy machine importing their libraries alone can take a minute.
pytestmark = pytest.mark.timeout(600)

TORCHRUN = [str(Path(sys.executable).parent / "torchrun"), "--standalone", "--nproc_per_node", "2"]


def weights(model: str | Path) -> bytes:
    return (Path(model) / "model.safetensors").read_bytes()


def losses(result: TrainingResult) -> list[float]:
    return [entry["loss"] for entry in result.history if "loss" in entry]


class Interrupted(Exception):
    pass


def interrupt_at(step: int) -> Any:
    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["step"] >= step:
            raise Interrupted

    return on_event


# ------------------------------------------------------------------------------------- a few steps, once for all tests


def test_a_finished_folder_is_whole(small: Small) -> None:
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
        "training.json",
    ):
        assert (small.folder / "sft" / name).is_file(), name
    assert sorted(path.name for path in small.folder.iterdir()) == ["dpo", "sft"]


def test_no_pickle_is_published(small: Small) -> None:
    names = [path.name for path in small.folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".pth"))]


def test_the_untrained_student_is_kept_beside_the_model(small: Small) -> None:
    assert (small.folder / "sft" / "base" / "model.safetensors").is_file()
    assert small.sft.base_model == str(small.folder / "sft" / "base")
    assert small.dpo.base_model == str(small.folder / "sft")
    assert weights(small.folder / "sft" / "base") != weights(small.folder / "sft")


def test_the_loss_falls_and_is_recorded(small: Small) -> None:
    result = read_result(small.folder / "sft")
    assert result.steps == 6
    assert [entry["step"] for entry in result.history if "loss" in entry] == [1, 2, 3, 4, 5, 6]
    assert result.eval_loss_before is not None
    assert result.eval_loss_after is not None
    assert result.eval_loss_after < result.eval_loss_before
    assert result.history[0]["eval_loss"] == result.eval_loss_before
    assert result.train_rows + result.validation_rows == 60


def test_dpo_starts_from_the_sft_model_as_its_reference(small: Small) -> None:
    first = small.dpo.history[0]
    assert small.dpo.base == str(small.folder / "sft")
    assert first["eval_rewards/margins"] == 0.0
    assert small.dpo.recipe["learning_rate"] == 2e-4


def test_the_models_hold_numbers(small: Small) -> None:
    from safetensors import safe_open

    for name in ("sft", "dpo"):
        with safe_open(small.folder / name / "model.safetensors", framework="pt") as file:
            assert all(bool(file.get_tensor(key).isfinite().all()) for key in file.keys())  # noqa: SIM118


def test_events_tell_the_story(small: Small) -> None:
    kinds = [event["event"] for event in small.events]
    assert kinds[0] == "loading"
    assert kinds[-1] == "finished"
    assert {"tokens", "training", "progress"} <= set(kinds)
    last = [event for event in small.events if event["event"] == "progress" and "loss" in event][-1]
    assert (last["step"], last["max_steps"]) == (6, 6)
    assert last["tokens_per_second"] > 0


def test_events_hold_no_text_of_the_rows(small: Small) -> None:
    assert "kettle" not in json.dumps(small.events)


def test_the_card_of_a_trained_model(small: Small) -> None:
    card = (small.folder / "sft" / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["autograms"]["data_sha256"] == small.sft.data_hash
    assert "# desk" in card


# ------------------------------------------------------------------------------------------------- failures, cheap ones


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be started"):
        train_sft(sft_table(40), SftRecipe(launcher=["/no/such/launcher"]), tmp_path / "model")


def test_a_worker_that_dies_leaves_the_old_model_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    dying = [sys.executable, "-c", "import sys; print('no memory left', file=sys.stderr); sys.exit(9)"]
    with pytest.raises(TrainingError, match=r"status 9: no memory left"):
        train_sft(sft_table(40), SftRecipe(launcher=dying), tmp_path / "model")
    assert (tmp_path / "model" / "old").exists()


def test_a_worker_without_its_job() -> None:
    command = [sys.executable, "-m", "autograms.finetuning.worker"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


# ------------------------------------------------------------------------------------------------- real runs, long ones


@pytest.mark.long
def test_the_tiny_student_learns(tmp_path: Path) -> None:
    from autograms.evaluation import evaluate
    from autograms.settings import EvaluationSettings

    sft = train_sft(sft_table(), SftRecipe(max_steps=120), tmp_path / "sft")
    dpo = train_dpo(dpo_table(), DpoRecipe(max_steps=30), tmp_path / "dpo", base=tmp_path / "sft")
    assert sft.eval_loss_after is not None
    assert sft.eval_loss_after < 0.2
    assert dpo.metrics["rewards/margins"] > 1
    assert dpo.metrics["rewards/accuracies"] >= 0.9
    found = evaluate(
        sft_table=sft_table(),
        dpo_table=dpo_table(),
        base=tmp_path / "sft" / "base",
        sft=tmp_path / "sft",
        dpo=tmp_path / "dpo",
        output_dir=tmp_path / "evaluation",
        settings=EvaluationSettings(),
    )
    assert found.better
    assert found.metrics["sft"]["exact_match_before"] == 0
    assert found.metrics["sft"]["exact_match_after"] >= 0.7
    assert found.metrics["dpo"]["exact_match_after"] >= found.metrics["sft"]["exact_match_after"] - 0.05
    assert found.metrics["dpo"]["margin"] == pytest.approx(dpo.metrics["rewards/margins"], abs=1e-3)
    assert found.metrics["dpo"]["preference_accuracy"] >= 0.9
    assert found.metrics["sft"]["eval_loss_after"] == pytest.approx(sft.eval_loss_after, rel=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, tiny: Path, kind: str) -> None:
    def train(name: str, on_event: Any = None) -> TrainingResult:
        if kind == "sft":
            return train_sft(sft_table(100), SftRecipe(max_steps=14, save_steps=4), tmp_path / name, on_event=on_event)
        recipe = DpoRecipe(max_steps=14, save_steps=4)
        return train_dpo(dpo_table(100), recipe, tmp_path / name, base=tiny, on_event=on_event)

    whole = train("whole")
    with pytest.raises(Interrupted):
        train("cut", interrupt_at(5))
    assert not (tmp_path / "cut").exists()
    events: list[dict[str, Any]] = []
    cut = train("cut", events.append)
    assert "resumed" in [event["event"] for event in events]
    assert weights(cut.model) == weights(whole.model)
    assert losses(cut) == losses(whole)
    assert cut.eval_loss_before == whole.eval_loss_before


@pytest.mark.long
def test_sigterm_stops_with_a_checkpoint_and_the_same_command_goes_on(tmp_path: Path) -> None:
    job = prepare_job("sft", sft_table(100), SftRecipe(max_steps=400, save_steps=500), tmp_path / "model")
    process = subprocess.Popen(job.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["step"] > 2:
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stdout.read().splitlines()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert json.loads(rest[-1])["event"] == "stopped"
    assert [path.name for path in job.spec.checkpoints.glob("checkpoint-*")]
    with pytest.raises(TrainingError, match="goes on from there"):
        finish_job(job)


@pytest.mark.long
def test_a_worker_whose_parent_was_killed_stops(tmp_path: Path) -> None:
    job = prepare_job("sft", sft_table(100), SftRecipe(max_steps=4000, save_steps=5000), tmp_path / "model")
    program = f"import subprocess; subprocess.run({job.command!r}, stdout=open({str(tmp_path / 'out')!r}, 'w'))"
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    out = tmp_path / "out"
    wait_until(lambda: out.is_file() and '"progress"' in out.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: '"stopped"' in out.read_text())


def wait_until(done: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_adapters_are_merged(tmp_path: Path, tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    recipe = SftRecipe(model=str(tiny), max_steps=4, lora=LoraSettings(r=4, alpha=64))
    result = train_sft(sft_table(100), recipe, tmp_path / "model")
    assert (tmp_path / "model" / "adapter" / "adapter_model.safetensors").is_file()
    assert result.eval_loss_before is not None
    assert result.eval_loss_after is not None
    assert result.eval_loss_after < result.eval_loss_before
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    base = AutoModelForCausalLM.from_pretrained(tiny)
    changed = [name for name, value in merged.state_dict().items() if not value.equal(base.state_dict()[name])]
    assert any("q_proj" in name for name in changed)
    assert not any("embed" in name or "norm" in name for name in changed)


@pytest.mark.long
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    # 128 rows are 8 full batches: an epoch's last batch, where it is not full, is filled up for each process.
    one = train_sft(sft_table(160), SftRecipe(max_steps=6, batch_size=16), tmp_path / "one")
    two = train_sft(sft_table(160), SftRecipe(max_steps=6, batch_size=8, launcher=TORCHRUN), tmp_path / "two")
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    assert two.eval_loss_after == pytest.approx(one.eval_loss_after, abs=1e-5)


@pytest.mark.long
def test_packing_trains_fewer_and_longer_sequences(tmp_path: Path) -> None:
    recipe = SftRecipe(epochs=2, packing=True, batch_size=1, max_length=256)
    result = train_sft(sft_table(100), recipe, tmp_path / "model")
    assert result.steps < result.train_rows
    assert result.eval_loss_before is not None
    assert result.eval_loss_after is not None
    assert result.eval_loss_after < result.eval_loss_before


@pytest.mark.long
def test_early_stopping_ends_before_the_last_step(tmp_path: Path) -> None:
    recipe = SftRecipe(max_steps=40, learning_rate=1e-9, save_steps=2, early_stopping_patience=2)
    assert train_sft(sft_table(100), recipe, tmp_path / "model").steps < 40


@pytest.mark.long
def test_a_failing_training_says_why_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nope is not a valid SchedulerType"):
        train_sft(sft_table(100), SftRecipe(lr_scheduler="nope"), tmp_path / "model")
    with pytest.raises(TrainingError, match="raise max_length"):
        train_sft(sft_table(100), SftRecipe(max_length=16), tmp_path / "model")
    with pytest.raises(DatasetError, match="no sft rows"):
        train_sft(sft_table(100).slice(0, 0), SftRecipe(), tmp_path / "model")


@pytest.mark.long
def test_a_base_whose_weights_are_a_pickle_is_refused_before_a_step(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    base = build_tiny(["You help people.", "Hello there."], tmp_path / "base")
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    events: list[dict[str, Any]] = []
    with pytest.raises(TrainingError, match=r"are pickles, .* take a model that has"):
        train_sft(sft_table(40), SftRecipe(model=str(base), max_steps=1), tmp_path / "model", on_event=events.append)
    assert "training" not in {event["event"] for event in events}


def test_run_job_reports_through_finish(tmp_path: Path) -> None:
    quiet = [sys.executable, "-c", "print('no event'); print('{\"event\": \"x\"}')"]
    job = prepare_job("sft", sft_table(40), SftRecipe(launcher=quiet), tmp_path / "model")
    events: list[dict[str, Any]] = []
    run_job(job, on_event=events.append)
    assert events == [{"event": "x"}]
    with pytest.raises(TrainingError, match="did not finish"):
        finish_job(job)
