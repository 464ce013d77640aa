"""How models are finetuned, and how what came of it is evaluated."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from autograms.settings.strict import Strict

__all__ = ["DpoRecipe", "EvaluationSettings", "LoraSettings", "SftRecipe"]


class LoraSettings(Strict):
    """Low-rank adapters instead of a full finetune.

    Attributes:
        r: Rank.
        alpha: Scale.
        dropout: Dropout of the adapters.
        target_modules: Module names, or ``all-linear``.
        quantize_4bit: QLoRA: load the base in 4 bits (needs bitsandbytes and a GPU).
    """

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"
    quantize_4bit: bool = False


class SftRecipe(Strict):
    """How to finetune on the SFT rows.

    Attributes:
        model: ``tiny`` (the embedded student), a model's folder, or its name on the Hugging Face hub; for the
            ``openai`` backend, the name of a model that the endpoint finetunes.
        backend: ``huggingface`` or ``openai``.
        epochs: Passes over the rows; ``max_steps`` takes precedence.
        max_steps: Optimizer steps.
        learning_rate: 3e-3 for ``tiny`` and 2e-5 otherwise, where unset.
        batch_size: Rows a step and device.
        gradient_accumulation: Steps that are added up before the optimizer moves.
        warmup_steps: Steps until the learning rate is full.
        lr_scheduler: Scheduler name, as in transformers.
        max_length: Longest row in tokens; longer rows are refused by the token audit unless ``truncate``.
        truncate: Cut longer rows instead of leaving them out.
        seed: Seed of initial weights, order and dropout.
        save_steps: Steps between checkpoints.
        early_stopping_patience: Evaluations without progress until training stops; never where unset.
        lora: Adapters instead of a full finetune.
        packing: Several rows in one sequence.
        launcher: Command before the worker, for example ``["torchrun", "--nproc_per_node", "2"]``.
        report_to: Trackers, as in transformers: ``tensorboard``, ``wandb``, ``mlflow``.
        hyperparameters: For the ``openai`` backend: passed to the job as they are.
        suffix: For the ``openai`` backend: part of the new model's name.
    """

    model: str = "tiny"
    backend: Literal["huggingface", "openai"] = "huggingface"
    epochs: float = Field(default=3.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=16, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    warmup_steps: int = Field(default=5, ge=0)
    lr_scheduler: str = "cosine"
    max_length: int = Field(default=1024, ge=16)
    truncate: bool = False
    seed: int = 0
    save_steps: int = Field(default=100, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    lora: LoraSettings | None = None
    packing: bool = False
    launcher: list[str] = Field(default_factory=list)
    report_to: list[str] = Field(default_factory=list)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    suffix: str | None = None


class DpoRecipe(SftRecipe):
    """How to train on the DPO pairs, starting from the SFT model.

    Attributes:
        model: As in :class:`SftRecipe`; ``sft`` starts from the autogram's SFT model.
        learning_rate: 2e-4 for the embedded student and 1e-6 otherwise, where unset.
        beta: How closely the model stays to its start.
        loss_type: DPO losses, added up.
        loss_weights: A weight for each loss.
        rounds: Trainings, one after the other: the first on the supervisors' pairs, each further one also on what the
            student of the round before answers otherwise than the supervisors.
    """

    model: str = "sft"
    epochs: float = Field(default=1.0, gt=0)
    beta: float = Field(default=0.1, gt=0)
    loss_type: list[str] = Field(default_factory=lambda: ["sigmoid", "sft"])
    loss_weights: list[float] = Field(default_factory=lambda: [1.0, 1.0])
    rounds: int = Field(default=1, ge=1)


class EvaluationSettings(Strict):
    """How the trained models are evaluated.

    Attributes:
        max_scenarios: Held-out scenarios that are run through the autogram in deployment mode.
        max_rows: Held-out rows that are answered.
        max_new_tokens: Longest answer in tokens.
        batch_size: Conversations that are answered at once.
        judge: ``provider/model`` of a judge, or ``None``.
        judge_base_url: URL of the judge's OpenAI-compatible endpoint; ``OPENAI_BASE_URL`` where unset.
        seed: Seed of the bootstrap.
    """

    max_scenarios: int = Field(default=32, ge=0)
    max_rows: int = Field(default=200, ge=1)
    max_new_tokens: int = Field(default=128, ge=1)
    batch_size: int = Field(default=32, ge=1)
    judge: str | None = None
    judge_base_url: str | None = None
    seed: int = 0
