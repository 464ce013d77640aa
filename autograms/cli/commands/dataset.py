"""``autograms dataset``: rows that train, out of a simulation's folder, and what they come to in tokens."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from autograms.cli.options import (
    DatasetFlags,
    FinetuningKind,
    FinetuningType,
    Provider,
    ProviderType,
    SaveDir,
    spelled_out,
)
from autograms.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    from autograms.datasets import BuiltDataset

__all__ = ["dataset"]


class Action(StrEnum):
    """What is done with the rows."""

    write = "write"
    audit = "audit"


class Format(StrEnum):
    """Forms of the rows for other trainers."""

    sharegpt = "sharegpt"
    alpaca = "alpaca"
    trl = "trl"


@spelled_out()
def dataset(
    action: Annotated[
        Action, typer.Argument(help="write: the files; audit: count the rows in --model's own tokens, write nothing.")
    ] = Action.write,
    save_dir: SaveDir = Path("simulation_data"),
    finetuning_type: FinetuningType = FinetuningKind.normal,
    model_type: Provider = ProviderType.huggingface,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Count in the tokens of this model (tiny, a folder, a name on the hub), for audit and "
            "--max_tokens_total.",
        ),
    ] = None,
    max_length: Annotated[int, typer.Option("--max_length", help="For audit: longest row in tokens.", min=1)] = 1024,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="For audit: count longer rows as cut, not as left out.")
    ] = False,
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Folder for the .jsonl files; --save_dir where unset.")
    ] = None,
    also: Annotated[
        list[Format] | None,
        typer.Option(
            "--also", help="Write this form too: sharegpt and alpaca (with LLaMA-Factory's index), trl's YAML."
        ),
    ] = None,
    **flags: Unpack[DatasetFlags],
) -> None:
    """Build a dataset from simulated conversations: train.jsonl or train_dpo.jsonl, and validation files beside them.

    Says how many rows there are, and what was left out and why. Needs no model and no network, unless --model names a
    model of the hub that is not on this machine. audit fails where no row can be trained on.

    Example:

    \b
    autograms dataset --save_dir simulation_data --finetuning_type dpo
    autograms dataset --tag_query 'formal & !draft' --min_score 0.5 --near_duplicates 0.8
    autograms dataset --group_by user_kwargs.persona --hold_out user_kwargs.persona=angry
    autograms dataset --model tiny --max_tokens_total 200000
    autograms dataset audit --model tiny --max_length 512
    autograms dataset --also sharegpt --also trl
    """
    from autograms.cli.recipes import dataset_settings
    from autograms.cli.rows import build_rows, write_rows

    if action is Action.audit and model is None:
        raise SettingsError("audit counts in a model's own tokens: name it with --model (tiny, a folder, a hub's name)")
    built = build_rows(save_dir, dataset_settings(flags), kind=finetuning_type.rows, model=model)
    if action is Action.audit:
        assert model is not None
        _audit(built, finetuning_type, model, max_length, truncate)
        return
    write_rows(built, output_dir or save_dir, kind=finetuning_type.rows, flavor=model_type)
    for form in also or ():
        _write(form, built, output_dir or save_dir, finetuning_type)


def _audit(built: BuiltDataset, finetuning_type: FinetuningKind, model: str, max_length: int, truncate: bool) -> None:
    from autograms.cli.rows import print_markdown
    from autograms.finetuning import audit_rows

    audit = audit_rows(built.table, finetuning_type.rows, model=model, max_length=max_length, truncate=truncate)
    print()
    print_markdown(audit.as_markdown())
    if (refusal := audit.refusal()) is not None:
        raise DatasetError(refusal)


def _write(form: Format, built: BuiltDataset, folder: Path, finetuning_type: FinetuningKind) -> None:
    from autograms.datasets import formats

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
