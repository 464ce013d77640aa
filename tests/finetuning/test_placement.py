"""Which numbers, attention and memory a training uses, decided of devices that this machine need not have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from autograms.errors import TrainingError
from autograms.finetuning.job import prepare_job
from autograms.finetuning.placement import place, require_four_bits
from autograms.models.device import CPU, Device
from autograms.models.loading import SAFE
from autograms.settings import DpoRecipe, LoraSettings, SftRecipe
from tests.finetuning.rows import dpo_table, sft_table
from tests.finetuning.test_train import TORCHRUN

AMPERE = Device("cuda", "A100", (8, 0))
TURING = Device("cuda", "T4", (7, 5))
QLORA = LoraSettings(quantize_4bit=True)


@pytest.mark.parametrize(
    ("device", "lora", "dtype", "mixed"),
    [
        (AMPERE, False, "float32", True),
        (AMPERE, True, "bfloat16", True),
        (TURING, False, "float32", False),
        (TURING, True, "float32", False),
        (CPU, False, "float32", False),
        (CPU, True, "float32", False),
    ],
)
def test_numbers_follow_from_device_and_adapters(device: Device, lora: bool, dtype: str, mixed: bool) -> None:
    placement = place(device, tiny=False, lora=lora, flash=False)
    assert (placement.loading(), placement.arguments()) == (
        {**SAFE, "dtype": dtype},
        {
            "use_cpu": not device.gpu,
            "bf16": mixed,
            "activation_checkpointing": device.gpu,
            "dataloader_pin_memory": device.gpu,
        },
    )


@pytest.mark.parametrize(("device", "flash"), [(AMPERE, True), (TURING, False), (CPU, False)])
def test_flash_attention_is_taken_where_it_runs(device: Device, flash: bool) -> None:
    asked = place(device, tiny=False, lora=True, flash=True).loading()
    assert asked.get("attn_implementation") == ("flash_attention_2" if flash else None)
    assert "attn_implementation" not in place(device, tiny=False, lora=True, flash=False).loading()


def test_the_embedded_student_trains_in_float32_on_a_gpu_too() -> None:
    placement = place(AMPERE, tiny=True, lora=False, flash=True)
    assert placement.loading() == {**SAFE, "dtype": "float32"}
    assert placement.arguments() == {
        "use_cpu": False,
        "bf16": False,
        "activation_checkpointing": False,
        "dataloader_pin_memory": True,
    }


@pytest.mark.parametrize(
    ("device", "installed", "told"),
    [
        (AMPERE, False, "needs the package bitsandbytes, which is not installed where this training runs; pip install"),
        (CPU, False, "needs an NVIDIA GPU, and torch sees none where this training runs; train where there is one"),
        (CPU, True, "needs an NVIDIA GPU, and torch sees none where this training runs; train where there is one"),
    ],
)
def test_four_bits_are_refused_where_they_cannot_be(device: Device, installed: bool, told: str) -> None:
    with pytest.raises(TrainingError, match=told) as refused:
        require_four_bits(QLORA, device, installed=installed)
    assert "the recipe's lora.quantize_4bit" in str(refused.value)
    assert "leave quantize_4bit out to train the same adapters" in str(refused.value)


def test_four_bits_are_taken_where_they_can_be() -> None:
    require_four_bits(QLORA, AMPERE, installed=True)
    require_four_bits(LoraSettings(), CPU, installed=False)


@pytest.mark.timeout(600)
def test_four_bits_are_refused_before_a_row_is_read(tmp_path: Path, tiny: Path) -> None:
    from autograms.models.device import find_device

    if find_device().gpu:
        pytest.skip("there is a GPU here")
    job = prepare_job("sft", sft_table(40), SftRecipe(model=str(tiny), lora=QLORA), tmp_path / "model")
    ran = subprocess.run(job.command, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "needs an NVIDIA GPU" in job.spec.failure.read_text()
    assert '"tokens"' not in ran.stdout


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("sft", {}), ("sft", {"packing": True}), ("sft", {"launcher": TORCHRUN}), ("dpo", {"lora": LoraSettings(r=4)})],
    ids=["full", "packed", "two processes", "adapters"],
)
def test_a_training_warns_of_nothing(tmp_path: Path, tiny: Path, kind: str, options: dict[str, object]) -> None:
    if kind == "sft":
        job = prepare_job("sft", sft_table(60), SftRecipe(max_steps=2, **options), tmp_path / "model")
    else:
        job = prepare_job("dpo", dpo_table(60), DpoRecipe(max_steps=2, **options), tmp_path / "model", base=tiny)
    ran = subprocess.run(job.command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
