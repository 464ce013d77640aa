"""The training process: ``python -m autograms.finetuning.worker job.json``.

It runs alone, under a launcher (``torchrun``, ``accelerate launch``) and under Dagster Pipes alike. It exits with 0
only when the model is finished; stopped by SIGINT or SIGTERM, it keeps a checkpoint and exits with 128 plus the
signal's number, and the same command goes on from there. What does not belong here: the training itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from autograms.conversation.atomic import replacing
from autograms.errors import AutogramsError, TrainingError
from autograms.finetuning.events import Reporter, reporting
from autograms.finetuning.job import JobSpec
from autograms.finetuning.occupied import occupying
from autograms.finetuning.placement import require_four_bits
from autograms.finetuning.stopping import StopRequest
from autograms.finetuning.trackers import require_trackers, set_log_folder
from autograms.models.device import find_device

__all__ = ["main"]

_QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}
_WAIT_FOR_BASE = 300.0


def main(argv: list[str] | None = None) -> int:
    """Run one job.

    Args:
        argv: The path of ``job.json``.

    Returns:
        0 where the model is finished, 1 where training failed, 128 plus a signal's number where it was stopped.
    """
    stop = StopRequest()
    stop.listen()
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print("usage: python -m autograms.finetuning.worker job.json", file=sys.stderr)
        return 2
    spec = JobSpec.load(arguments[0])
    first = int(os.environ.get("RANK", "0")) == 0
    with occupying(spec.work) if first else nullcontext(), reporting(first=first) as reporter:
        try:
            _run(spec, reporter, stop, first=first)
        except Exception as error:
            traceback.print_exc()
            message = str(error) if isinstance(error, AutogramsError) else f"{type(error).__name__}: {error}"
            if first:
                _write_failure(spec, message)
            reporter.emit("failed", message=message)
            return 1
        if stop.signal is not None:
            if first:
                _write_failure(spec, "it was stopped; its checkpoint is kept, and the next run goes on from there")
            reporter.emit("stopped", signal=stop.signal)
            return 128 + stop.signal
    return 0


def _run(spec: JobSpec, reporter: Reporter, stop: StopRequest, *, first: bool) -> None:
    _set_environment(spec)
    reporter.emit("loading", kind=spec.kind, base=Path(spec.base).name)
    recipe = spec.sft_recipe()
    require_trackers(recipe.report_to)
    if recipe.lora is not None:
        require_four_bits(recipe.lora, find_device(), installed=find_spec("bitsandbytes") is not None)
    import torch

    if spec.tiny:
        torch.set_num_threads(1)
    _make_base(spec, first=first)
    if stop.made:
        return
    if spec.kind == "sft":
        from autograms.finetuning.sft import run_sft as run
    else:
        from autograms.finetuning.dpo import run_dpo as run
    run(spec, reporter, stop)


def _set_environment(spec: JobSpec) -> None:
    """Set what the libraries read while they are imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if spec.tiny:
        os.environ["OMP_NUM_THREADS"] = "1"
    if spec.tiny or Path(spec.base).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "1"
    set_log_folder(spec.work)
    # TRL and PEFT still read these names; transformers says so of them, and nobody who trains can change it.
    warnings.filterwarnings(
        "ignore", r"`\w*gradient_checkpointing\w*` is deprecated", module=r"transformers\.modeling_"
    )


def _make_base(spec: JobSpec, *, first: bool) -> None:
    """Build the tiny student where one is asked for; further processes wait for the first one's."""
    from autograms.finetuning.student import TINY, build_tiny

    folder = Path(spec.start)
    if spec.base != TINY or (first and folder.is_dir()):
        return
    if first:
        import pyarrow.parquet as parquet

        from autograms.finetuning.tokens import read_rows, row_texts

        rows = read_rows(parquet.read_table(spec.rows), spec.kind, split="train")
        build_tiny(row_texts(rows), folder, seed=spec.sft_recipe().seed)
        return
    deadline = time.monotonic() + _WAIT_FOR_BASE
    while not folder.is_dir():
        if time.monotonic() > deadline:
            raise TrainingError(f"the first process has not built {folder} within {_WAIT_FOR_BASE:.0f} s")
        time.sleep(0.1)


def _write_failure(spec: JobSpec, message: str) -> None:
    with replacing(spec.failure) as file:
        file.write(json.dumps({"message": message}).encode())


if __name__ == "__main__":
    sys.exit(main())
