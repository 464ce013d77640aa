"""Supervised finetuning of one job with TRL, inside the worker."""

from __future__ import annotations

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from autograms.finetuning.events import Reporter
from autograms.finetuning.job import JobSpec
from autograms.finetuning.stopping import StopRequest
from autograms.finetuning.tokens import TokenRow
from autograms.finetuning.trainer import arguments, open_trainer, read_tokens, run_trainer

__all__ = ["run_sft"]

_LEARNING_RATE, _TINY_LEARNING_RATE = 2e-5, 3e-3


def run_sft(spec: JobSpec, reporter: Reporter, stop: StopRequest) -> None:
    """Train on the job's rows, each given to TRL as tokens and labels of its own, which TRL keeps as they are."""
    data = read_tokens(spec, reporter)
    recipe = spec.sft_recipe()
    options = arguments(spec, data, learning_rate=_TINY_LEARNING_RATE if spec.tiny else _LEARNING_RATE)
    config = SFTConfig(
        **options,
        packing=recipe.packing,
        eval_packing=False,
        max_length=recipe.max_length if recipe.packing else None,
        dataset_kwargs=None if recipe.packing else {"skip_prepare_dataset": True},
    )
    trainer = open_trainer(SFTTrainer, spec, data, config=config, dataset=_dataset)
    run_trainer(trainer, spec, data, reporter, stop)


def _dataset(rows: list[TokenRow]) -> Dataset:
    return Dataset.from_dict({"input_ids": [row.input_ids() for row in rows], "labels": [row.labels() for row in rows]})
