"""``autograms dataset``: rows that train, out of a simulation's folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from autograms.datasets import BuiltDataset

__all__ = ["dataset"]


class Format(StrEnum):
    """Forms of the rows for other trainers."""

    sharegpt = "sharegpt"
    alpaca = "alpaca"
    trl = "trl"


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
    also: Annotated[
        list[Format] | None,
        typer.Option(
            "--also", help="Write this form too: sharegpt and alpaca (with LLaMA-Factory's index), trl's YAML."
        ),
    ] = None,
) -> None:
    """Build a dataset from simulated conversations: train.jsonl or train_dpo.jsonl, and validation files beside them.

    Says how many rows there are, and what was left out and why. Needs neither a model nor torch.

    Example:

    \b
    autograms dataset --save_dir simulation_data --finetuning_type dpo
    autograms dataset --save_dir simulation_data --also sharegpt --also trl
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
    built = prepare_rows(save_dir, settings, kind=finetuning_type.rows, flavor=model_type, output_dir=output_dir)
    for form in also or ():
        _write(form, built, output_dir or save_dir, finetuning_type)


def _write(form: Format, built: BuiltDataset, folder: Path, finetuning_type: FinetuningKind) -> None:
    from autograms.datasets import formats
    from autograms.errors import SettingsError

    kind = finetuning_type.rows
    if form is Format.trl:
        target = folder / "trained"
        print(f"wrote {formats.export_trl(built.table, folder, model='MODEL', output_dir=str(target), kind=kind)}")
        return
    if form is Format.alpaca and kind != "sft":
        raise SettingsError("--also alpaca writes SFT rows only; use sharegpt for pairs")
    if form is Format.alpaca:
        files, left_out = formats.export_alpaca(built.table, folder)
    else:
        files, left_out = formats.export_sharegpt(built.table, folder, kind=kind)
    index = formats.write_llamafactory_index(folder)
    print(f"wrote {', '.join(map(str, [*files, index]))}; {left_out} rows have no such form and were left out")
