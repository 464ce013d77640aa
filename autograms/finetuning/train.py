"""Training as a function call: prepare a job, run its worker as a process, publish the model.

What does not belong here: what the worker does (``worker``), and the job's files (``job``).
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.errors import TrainingError
from autograms.finetuning.job import Job, TrainingResult, failure_message, finish_job, prepare_job
from autograms.finetuning.stopping import terminations_interrupt
from autograms.settings import DpoRecipe, SftRecipe

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["run_job", "train_dpo", "train_sft"]

OnEvent = Callable[[dict[str, Any]], None]
_GRACE = 60.0


def train_sft(
    table: pa.Table,
    recipe: SftRecipe,
    output_dir: Path,
    *,
    name: str | None = None,
    on_event: OnEvent | None = None,
    resume: bool = True,
) -> TrainingResult:
    """Finetune on SFT rows and write a Hugging Face model folder.

    Args:
        table: Rows of the SFT schema; the split ``validation`` is evaluated before and after, and never trained on.
        recipe: How to train.
        output_dir: The model's folder; an existing one is replaced once the new model is finished.
        name: What the model is called in its card; the folder's name where unset.
        on_event: Called with each event of the worker: ``{"event": "progress", "step": ..., "loss": ...}``.
        resume: Go on from the last checkpoint of an interrupted training of the same rows and recipe.

    Raises:
        DatasetError: Where there are no rows to train on.
        TrainingError: Where training fails; the message holds what the worker said last.
    """
    job = prepare_job("sft", table, recipe, output_dir, name=name, resume=resume)
    run_job(job, on_event=on_event)
    return finish_job(job)


def train_dpo(
    table: pa.Table,
    recipe: DpoRecipe,
    output_dir: Path,
    *,
    base: Path | str,
    name: str | None = None,
    on_event: OnEvent | None = None,
    resume: bool = True,
) -> TrainingResult:
    """Train on preference pairs, starting from a model, and write a Hugging Face model folder.

    Args:
        table: Pairs of the DPO schema.
        recipe: How to train.
        output_dir: The model's folder.
        base: The model to start from, which is the reference too: as a rule the SFT model's folder.
        name: As in :func:`train_sft`.
        on_event: As in :func:`train_sft`.
        resume: As in :func:`train_sft`.

    Raises:
        DatasetError: Where there are no pairs to train on.
        TrainingError: Where training fails.
    """
    job = prepare_job("dpo", table, recipe, output_dir, base=base, name=name, resume=resume)
    run_job(job, on_event=on_event)
    return finish_job(job)


def run_job(job: Job, *, on_event: OnEvent | None = None) -> None:
    """Run a job's worker and wait for it.

    An interrupt (Ctrl-C, SIGTERM, any exception in ``on_event``) is handed on to the worker, which keeps a checkpoint;
    it goes on here once the worker has ended.

    Raises:
        TrainingError: Where the worker does not finish.
    """
    log = job.spec.work / "worker.log"
    with terminations_interrupt(), log.open("wb") as errors:
        try:
            process = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            raise TrainingError(f"the training command {job.command[0]!r} cannot be started: {error}") from None
        try:
            _follow(process, on_event)
            process.wait()
        except BaseException:
            _stop(process)
            raise
    if process.returncode != 0:
        raise TrainingError(
            f"training {job.spec.name} ({job.spec.kind}) ended with status {process.returncode}: "
            f"{failure_message(job.spec)}\n(the worker's log: {log})"
        )


def _follow(process: subprocess.Popen[str], on_event: OnEvent | None) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if on_event is not None and isinstance(event, dict):
            on_event(event)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
