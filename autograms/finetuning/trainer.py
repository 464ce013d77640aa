"""What SFT and DPO training share: arguments, progress, stopping, resuming, and saving the finished model.

Imported by the worker alone, since it needs torch and transformers from its first line. What does not belong here:
losses and data of one kind of training.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import torch
import transformers
from datasets import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState

from autograms.finetuning.audit import TokenAudit
from autograms.finetuning.events import Reporter
from autograms.finetuning.job import JobSpec, TrainingResult
from autograms.finetuning.placement import Placement, place, takes_flash_attention
from autograms.finetuning.stopping import StopRequest
from autograms.finetuning.tokens import TokenRow, context_length, load_tokenizer, read_rows, tokenize_rows
from autograms.models.device import find_device
from autograms.models.loading import load_model, refusing

__all__ = ["TokenData", "arguments", "model_options", "open_trainer", "read_tokens", "run_trainer"]

_EVALUATIONS = 4
_LOGGED_STEPS = 100
_SHOWN = {"rewards/margins": "margin", "rewards/accuracies": "reward_accuracy"}
_LEFT_OUT = re.compile(r"runtime|_per_second|num_tokens|epoch|preparation_time|logits/|total_flos|entropy")


class TokenData:
    """A job's rows as tokens.

    Attributes:
        tokenizer: The model's own tokenizer.
        train: Rows to train on.
        validation: Held-out rows.
        audit: The account of the training rows.
    """

    def __init__(self, tokenizer: Any, train: list[TokenRow], validation: list[TokenRow], audit: TokenAudit) -> None:
        self.tokenizer = tokenizer
        self.train = train
        self.validation = validation
        self.audit = audit


def read_tokens(spec: JobSpec, reporter: Reporter) -> TokenData:
    """Read the job's rows and turn them into tokens of the model that is trained."""
    recipe = spec.sft_recipe()
    rows = list(read_rows(parquet.read_table(spec.rows), spec.kind))
    tokenizer = load_tokenizer(spec.start)
    limits: dict[str, Any] = {
        "max_length": recipe.max_length,
        "truncate": recipe.truncate,
        "context": context_length(spec.start, tokenizer),
    }
    train, audit = tokenize_rows((row for row in rows if row.split == "train"), tokenizer, **limits)
    validation, _ = tokenize_rows((row for row in rows if row.split == "validation"), tokenizer, **limits)
    reporter.emit(
        "tokens",
        rows=audit.rows,
        trained=audit.trained,
        held_out=len(validation),
        tokens=audit.tokens,
        loss_tokens=audit.loss_tokens,
        longest=audit.longest,
        tokens_lost=audit.tokens_lost,
    )
    return TokenData(tokenizer, train, validation, audit)


def arguments(spec: JobSpec, data: TokenData, *, learning_rate: float) -> dict[str, Any]:
    """Return the keywords that ``SFTConfig`` and ``DPOConfig`` share.

    Args:
        spec: The job.
        data: Its rows.
        learning_rate: The learning rate where the recipe has none.
    """
    recipe = spec.sft_recipe()
    steps = _steps(spec, len(data.train))
    evaluated = bool(data.validation)
    patience = recipe.early_stopping_patience is not None and evaluated
    eval_steps = recipe.save_steps if patience else max(1, math.ceil(steps / _EVALUATIONS))
    return {
        "output_dir": str(spec.checkpoints),
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation,
        "learning_rate": recipe.learning_rate or learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler,
        "warmup_steps": min(recipe.warmup_steps, steps),
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "logging_steps": max(1, steps // _LOGGED_STEPS),
        "logging_first_step": True,
        "eval_strategy": "steps" if evaluated else "no",
        "eval_steps": eval_steps,
        "prediction_loss_only": True,
        "save_strategy": "steps",
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,
        "load_best_model_at_end": patience,
        "metric_for_best_model": "eval_loss" if patience else None,
        "report_to": recipe.report_to or "none",
        "run_name": spec.name,
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False if spec.tiny else None,
        "model_init_kwargs": model_options(spec),
        **_placement(spec).arguments(),
    }


def model_options(spec: JobSpec) -> dict[str, Any]:
    """Return the keywords with which the model is loaded."""
    lora = spec.sft_recipe().lora
    options = _placement(spec).loading()
    if lora is not None and lora.quantize_4bit:
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    return options


def _adapter(spec: JobSpec) -> Any:
    """Return the PEFT configuration, ``None`` for a full finetune."""
    lora = spec.sft_recipe().lora
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )


def open_trainer(
    kind: Callable[..., Trainer],
    spec: JobSpec,
    data: TokenData,
    *,
    config: transformers.TrainingArguments,
    dataset: Callable[[list[TokenRow]], Dataset],
) -> Trainer:
    """Open TRL's trainer of a job.

    Args:
        kind: Its class.
        spec: The job.
        data: The job's rows as tokens.
        config: Its arguments.
        dataset: Makes of rows what the class takes.

    Raises:
        ModelNameError: Where the start would take a pickle or code of its own.
    """
    with refusing(spec.start):
        return kind(
            model=spec.start,
            args=config,
            train_dataset=dataset(data.train),
            eval_dataset=dataset(data.validation) if data.validation else None,
            processing_class=data.tokenizer,
            peft_config=_adapter(spec),
        )


def run_trainer(trainer: Trainer, spec: JobSpec, data: TokenData, reporter: Reporter, stop: StopRequest) -> None:
    """Evaluate, train from the last checkpoint on, evaluate, and save; or stop with a checkpoint when asked to."""
    _quieten(trainer)
    progress = _Progress(reporter)
    trainer.add_callback(progress)
    trainer.add_callback(_Stop(stop))
    recipe = spec.sft_recipe()
    if recipe.early_stopping_patience is not None and data.validation:
        trainer.add_callback(EarlyStoppingCallback(recipe.early_stopping_patience))
    checkpoint = spec.last_checkpoint()
    # Evaluating before train() would keep the model from being wrapped for several processes, without a word.
    trainer.args.eval_on_start = bool(data.validation) and checkpoint is None
    if checkpoint is not None:
        reporter.emit("resumed", checkpoint=checkpoint.name)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if stop.signal is not None and trainer.state.global_step < trainer.state.max_steps:
        return
    stop.signal = None
    seconds = time.monotonic() - started
    after = _evaluate_after(trainer) if data.validation else {}
    history = _history(trainer.state.log_history)
    _save(trainer, spec, data)
    if trainer.is_world_process_zero():
        _write_result(trainer, spec, data, after, history, seconds)
        reporter.emit("finished", steps=trainer.state.global_step, seconds=round(seconds, 1), **after)


class _Progress(TrainerCallback):
    """Says how far training is: at most every half second, and whenever there is a held-out loss."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._started = self._said = time.monotonic()
        self._first_step = 0
        self._tokens = 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._started = time.monotonic()
        self._first_step = state.global_step
        self._reporter.emit("training", max_steps=state.max_steps, first_step=state.global_step)

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        logs = logs or {}
        if "loss" not in logs and "eval_loss" not in logs:
            return
        now = time.monotonic()
        last = state.global_step >= state.max_steps
        if "eval_loss" not in logs and now - self._said < 0.5 and not last and state.global_step > self._first_step + 1:
            return
        self._said = now
        done, seconds = state.global_step - self._first_step, now - self._started
        self._tokens = float(logs.get("num_tokens") or self._tokens)
        values: dict[str, float] = {
            name: float(logs[name]) for name in ("loss", "eval_loss", "learning_rate") if name in logs
        }
        for name, short in _SHOWN.items():
            if (value := logs.get(name, logs.get(f"eval_{name}"))) is not None:
                values[short] = float(value)
        self._reporter.emit(
            "progress",
            step=state.global_step,
            max_steps=state.max_steps,
            **values,
            tokens_per_second=round(self._tokens / seconds, 1) if seconds > 0 and self._tokens else None,
            eta_seconds=round(seconds / done * (state.max_steps - state.global_step), 1) if done > 0 else None,
        )


class _Stop(TrainerCallback):
    """Stops at the end of a step, with a checkpoint, on all processes at once."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._anyone():
            control.should_save = control.should_training_stop = True

    def _anyone(self) -> bool:
        made = self._stop.made
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return made
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        flag = torch.tensor([self._stop.signal or 0], device=device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        self._stop.signal = int(flag.item()) or None
        return self._stop.signal is not None


def _steps(spec: JobSpec, rows: int) -> int:
    recipe = spec.sft_recipe()
    if recipe.max_steps is not None:
        return recipe.max_steps
    together = recipe.batch_size * recipe.gradient_accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    return max(1, math.ceil(math.ceil(rows / together) * recipe.epochs))


def _placement(spec: JobSpec) -> Placement:
    flash = takes_flash_attention(spec.start)
    return place(find_device(), tiny=spec.tiny, lora=spec.sft_recipe().lora is not None, flash=flash)


def _quieten(trainer: Trainer) -> None:
    trainer.remove_callback(PrinterCallback)
    transformers.utils.logging.disable_progress_bar()


def _evaluate_after(trainer: Trainer) -> dict[str, float]:
    """Return the held-out figures of the model as it will be saved, from the log where the last step has them."""
    last = trainer.state.log_history[-2:]
    known = [entry for entry in last if "eval_loss" in entry and entry["step"] == trainer.state.global_step]
    if known and not trainer.args.load_best_model_at_end:
        return _figures({name: value for name, value in known[0].items() if name != "step"})
    return _figures(trainer.evaluate())


def _figures(metrics: dict[str, float]) -> dict[str, float]:
    kept = {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}
    return {name: value for name, value in kept.items() if not _LEFT_OUT.search(name)}


def _history(log: Iterable[dict[str, Any]]) -> list[dict[str, float]]:
    return [_figures(entry) for entry in log if "loss" in entry or "eval_loss" in entry]


def _save(trainer: Any, spec: JobSpec, data: TokenData) -> None:
    """Write model and tokenizer; adapters are merged into the base, and kept beside the merged model."""
    temporary = spec.model.with_name("model.part")
    if trainer.is_world_process_zero():
        shutil.rmtree(temporary, ignore_errors=True)
    lora = spec.sft_recipe().lora is not None
    trainer.save_model(str(temporary / "adapter" if lora else temporary))
    if not trainer.is_world_process_zero():
        return
    if lora:
        _merge(spec, temporary)
    data.tokenizer.save_pretrained(temporary)
    for extra in (*temporary.rglob("training_args.bin"), *temporary.rglob("README.md")):
        extra.unlink()
    shutil.rmtree(spec.model, ignore_errors=True)
    os.replace(temporary, spec.model)


def _merge(spec: JobSpec, folder: Path) -> None:
    from peft import PeftModel

    base = load_model(spec.start, dtype=_placement(spec).dtype)
    merged = PeftModel.from_pretrained(base, str(folder / "adapter")).merge_and_unload()
    merged.save_pretrained(folder)


def _write_result(
    trainer: Trainer,
    spec: JobSpec,
    data: TokenData,
    after: dict[str, float],
    history: list[dict[str, float]],
    seconds: float,
) -> None:
    packages = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "tokenizers")
    TrainingResult(
        kind=spec.kind,
        name=spec.name,
        model=str(spec.model),
        base=spec.base,
        data_hash=spec.data_hash,
        fingerprint=spec.fingerprint,
        recipe={**spec.recipe, "learning_rate": trainer.args.learning_rate},
        versions={package: version(package) for package in packages},
        device=find_device().name,
        train_rows=len(data.train),
        validation_rows=len(data.validation),
        steps=trainer.state.global_step,
        seconds=round(seconds, 2),
        eval_loss_before=history[0].get("eval_loss") if data.validation else None,
        eval_loss_after=after.get("eval_loss"),
        metrics={name.removeprefix("eval_"): value for name, value in after.items() if name != "eval_loss"},
        history=history,
        audit=data.audit.to_dict(),
    ).write(spec.model)
