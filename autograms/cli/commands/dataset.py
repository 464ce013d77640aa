"""``autograms dataset``: rows that train, out of a simulation's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograms.cli.options import (
    FinetuningKind,
    FinetuningType,
    MinScore,
    Provider,
    ProviderType,
    RequireSupervisor,
    SaveDir,
    TagQuery,
    ValidationFraction,
)

__all__ = ["dataset"]


def dataset(
    save_dir: SaveDir = Path("simulation_data"),
    finetuning_type: FinetuningType = FinetuningKind.normal,
    model_type: Provider = ProviderType.huggingface,
    tag_query: TagQuery = None,
    min_score: MinScore = None,
    require_supervisor: RequireSupervisor = None,
    validation_fraction: ValidationFraction = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Folder for the .jsonl files; --save_dir where unset.")
    ] = None,
) -> None:
    """Build a dataset from simulated conversations: train.jsonl or train_dpo.jsonl, and validation files beside them.

    Says how many rows there are, and what was left out and why. Needs neither a model nor torch.

    Example:

    \b
    autograms dataset --save_dir simulation_data --finetuning_type dpo
    """
    from autograms.cli.recipes import build_settings
    from autograms.cli.rows import prepare_rows
    from autograms.settings import DatasetSettings

    settings = build_settings(
        DatasetSettings,
        {},
        {
            "tag_query": tag_query,
            "min_score": min_score,
            "require_supervisor": require_supervisor,
            "validation_fraction": validation_fraction,
        },
    )
    prepare_rows(save_dir, settings, kind=finetuning_type.rows, flavor=model_type, output_dir=output_dir)
