"""Finetuning at an endpoint, for recipes with ``backend = "openai"``: the folder then holds the model's name.

What does not belong here: the jobs themselves (``autograms.finetuning.openai_jobs``).
"""

import logging
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from autograms.errors import SettingsError
from autograms.settings import SftRecipe
from autograms_assets.fingerprints import value_version
from autograms_assets.reuse import Made
from autograms_assets.stored import Folder

__all__ = ["train_at_endpoint"]


def train_at_endpoint(
    kind: Literal["sft", "dpo"],
    table: pa.Table,
    recipe: SftRecipe,
    *,
    base: Folder | None,
    base_url: str | None,
    place: Folder,
    scratch: Path,
    log: logging.Logger,
) -> Made:
    """Upload the rows, run a job or find the one that an earlier run created, and keep the model's name.

    Args:
        kind: ``sft`` or ``dpo``.
        table: The rows.
        recipe: The recipe, with the backend ``openai``.
        base: Where the SFT model is that a DPO job starts from.
        base_url: URL of the endpoint.
        place: Where the model's name is kept.
        scratch: Folder of this machine for the uploaded files and the job's id.
        log: The run's log.

    Raises:
        DatasetError: Where the endpoint would refuse the rows.
        TrainingError: Where the job fails.
    """
    from autograms.datasets import export_jsonl
    from autograms.datasets.openai_rules import require_openai_file
    from autograms.finetuning import run_openai_job

    train, *validation = export_jsonl(table, scratch, flavor="openai", kind=kind)
    require_openai_file(train, kind=kind)
    result = run_openai_job(
        train,
        recipe,
        kind=kind,
        state_file=scratch / f"{kind}_job.json",
        base=_base_name(base),
        validation_file=validation[0] if validation else None,
        base_url=base_url,
        on_event=lambda event: log.info(_told(event)),
    )
    result.write(place.work)
    summary = {"trained": True, "model": result.model, "job": result.job, "base": result.base}
    if result.trained_tokens is not None:
        summary["trained tokens"] = result.trained_tokens
    return Made(value_version([result.model, result.job]), summary)


def _base_name(base: Folder | None) -> str | None:
    if base is None:
        return None
    from autograms.finetuning import read_openai_result

    sft = read_openai_result(base.local())
    if sft is None:
        raise SettingsError(
            f"the DPO recipe trains at an endpoint and starts from the SFT model, which is a folder of this machine "
            f'({base.path}); set backend = "openai" for sft too, or model in the dpo recipe'
        )
    return sft.model


def _told(event: dict[str, Any]) -> str:
    return " ".join(str(value) if key == "message" else f"{key}={value}" for key, value in event.items())
