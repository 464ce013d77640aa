"""Models that were trained for a few steps, once for all tests of a process."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograms.finetuning import TrainingResult, train_dpo, train_sft
from autograms.settings import DpoRecipe, SftRecipe
from tests.finetuning.rows import dpo_table, sft_table


@dataclass(frozen=True)
class Small:
    folder: Path
    sft: TrainingResult
    dpo: TrainingResult
    events: tuple[dict[str, Any], ...]


@functools.cache
def small_models() -> Small:
    # Kept for the process: the folder's life is that of this object.
    folder = Path(tempfile.mkdtemp(prefix="autograms-small-"))
    events: list[dict[str, Any]] = []
    sft = train_sft(sft_table(60), SftRecipe(max_steps=6), folder / "sft", name="desk", on_event=events.append)
    dpo = train_dpo(dpo_table(60), DpoRecipe(max_steps=3), folder / "dpo", base=folder / "sft")
    return Small(folder, sft, dpo, tuple(events))
