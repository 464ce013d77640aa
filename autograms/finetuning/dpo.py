"""Direct preference optimization of one job with TRL, inside the worker."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from autograms.finetuning.events import Reporter
from autograms.finetuning.job import JobSpec
from autograms.finetuning.stopping import StopRequest
from autograms.finetuning.tokens import TokenRow
from autograms.finetuning.trainer import arguments, open_trainer, read_tokens, run_trainer

__all__ = ["run_dpo"]

_LEARNING_RATE, _TINY_LEARNING_RATE = 1e-6, 2e-4


class _TokenDPOTrainer(DPOTrainer):
    """Takes pairs that are tokens already, so that the prompt is the one deployment sends, token by token."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def run_dpo(spec: JobSpec, reporter: Reporter, stop: StopRequest) -> None:
    """Train on the job's pairs; the reference is the start, loaded once more (or, for LoRA, without the adapter)."""
    data = read_tokens(spec, reporter)
    recipe = spec.dpo_recipe()
    options = arguments(spec, data, learning_rate=_TINY_LEARNING_RATE if spec.tiny else _LEARNING_RATE)
    config = DPOConfig(
        **options,
        beta=recipe.beta,
        loss_type=recipe.loss_type,
        loss_weights=recipe.loss_weights,
        max_length=None,
    )
    trainer = open_trainer(_TokenDPOTrainer, spec, data, config=config, dataset=_dataset)
    run_trainer(trainer, spec, data, reporter, stop)


def _dataset(rows: list[TokenRow]) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt_ids": [row.prompt for row in rows],
            "chosen_ids": [row.answers[0] for row in rows],
            "rejected_ids": [row.answers[1] for row in rows],
        }
    )
