from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from autograms.finetuning import read_result, train_dpo, train_sft
from autograms.models.base import Request
from autograms.models.checkpoint import CheckpointModel
from autograms.models.device import find_device
from autograms.models.local import Generation, load_local
from autograms.settings import DpoRecipe, LoraSettings, SftRecipe
from tests.finetuning.rows import dpo_table, sft_table

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded student after SFT and DPO, trained on the GPU."""
    folder = tmp_path_factory.mktemp("trained")
    train_sft(sft_table(), SftRecipe(max_steps=120), folder / "sft")
    train_dpo(dpo_table(), DpoRecipe(max_steps=30), folder / "dpo", base=folder / "sft")
    return folder


def test_the_tiny_student_learns_on_the_gpu(trained: Path) -> None:
    sft, dpo = read_result(trained / "sft"), read_result(trained / "dpo")
    assert sft.device == dpo.device == find_device().name
    assert sft.eval_loss_after is not None
    assert sft.eval_loss_after < 0.2
    assert dpo.metrics["rewards/margins"] > 1
    assert dpo.metrics["rewards/accuracies"] >= 0.9


def test_a_model_is_loaded_on_the_gpu_in_the_numbers_that_it_has(trained: Path) -> None:
    model = load_local(str(trained / "dpo"), 32)._model
    assert model.device.type == "cuda"
    assert str(model.dtype) == f"torch.{find_device().dtype}"
    assert model.config._attn_implementation == "sdpa"


def test_answers_of_a_batch_are_those_of_single_requests(trained: Path) -> None:
    rows = [row for row in dpo_table().to_pylist() if row["split"] == "validation"][:32]
    local = load_local(str(trained / "dpo"), 32)
    prompts = [local.render([{"role": m["role"], "content": m["content"]} for m in row["prompt"]]) for row in rows]
    together = local.generate(prompts, Generation(48))
    alone = [local.generate([prompt], Generation(48))[0] for prompt in prompts]
    same = sum(one.text == other.text for one, other in zip(together, alone, strict=True))
    assert same >= 0.9 * len(rows)  # bfloat16 rounds otherwise in other batches
    right = sum(written.text == row["chosen"] for written, row in zip(together, rows, strict=True))
    assert right >= 0.7 * len(rows)


def test_requests_that_arrive_together_are_answered_together(trained: Path) -> None:
    async def ask() -> list[str]:
        model = CheckpointModel(trained / "dpo")
        requests = [Request("text", [{"role": "user", "content": f"Where is my order {n}?"}]) for n in range(32)]
        return [reply.text for reply in await asyncio.gather(*map(model.complete, requests))]

    assert len(asyncio.run(ask())) == 32


def test_adapters_train_in_bfloat16_and_are_merged(trained: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    large = AutoModelForCausalLM.from_pretrained(trained / "sft")
    del large.config.autograms_student  # no embedded student, as far as training knows
    large.save_pretrained(tmp_path / "base")
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "base" / file).write_bytes((trained / "sft" / file).read_bytes())
    recipe = SftRecipe(model=str(tmp_path / "base"), max_steps=4, lora=LoraSettings(r=4))
    result = train_sft(sft_table(100), recipe, tmp_path / "model")
    assert result.device == find_device().name
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto")
    assert str(merged.dtype) == f"torch.{find_device().dtype}"
