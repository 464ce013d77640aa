"""``autograms finetune`` and the guide's ``run_finetuning.py``: a model out of a simulation's folder."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

from autograms.cli.options import (
    ApiKeyFile,
    BaseUrl,
    DatasetFlags,
    FinetuningKind,
    FinetuningType,
    Provider,
    ProviderType,
    RowKind,
    SaveDir,
    spelled_out,
)
from autograms.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from autograms.settings import DatasetSettings, SftRecipe

__all__ = ["finetune"]


@spelled_out()
def finetune(
    save_dir: SaveDir = Path("simulation_data"),
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="tiny (the embedded student), a model's folder, or its name on the Hugging Face hub or at OpenAI.",
        ),
    ] = None,
    model_type: Provider = ProviderType.huggingface,
    finetuning_type: FinetuningType = FinetuningKind.normal,
    prepare_data_only: Annotated[
        bool, typer.Option("--prepare_data_only", help="Write the .jsonl files and stop; needs no model.")
    ] = False,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output_dir", help="Folder for the model; sft_model or dpo_model in --save_dir where unset."),
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config_file", help="JSON or TOML recipe; flags override it.")
    ] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Passes over the rows.")] = None,
    max_steps: Annotated[int | None, typer.Option("--max_steps", help="Optimizer steps; overrides --epochs.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning_rate")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch_size", help="Rows a step and device.")] = None,
    gradient_accumulation: Annotated[
        int | None, typer.Option("--gradient_accumulation", help="Steps added up before the optimizer moves.")
    ] = None,
    max_length: Annotated[int | None, typer.Option("--max_length", help="Longest row in tokens.")] = None,
    truncate: Annotated[
        bool | None, typer.Option("--truncate", help="Cut longer rows instead of leaving them out.")
    ] = None,
    lora_r: Annotated[int | None, typer.Option("--lora_r", help="Train low-rank adapters of this rank.")] = None,
    beta: Annotated[
        float | None, typer.Option("--beta", help="For dpo: how closely the model stays to its start.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", help="For dpo: trainings in all, the further ones on its own mistakes.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed")] = None,
    report_to: Annotated[
        list[str] | None,
        typer.Option("--report_to", help="Tracker, as in transformers: tensorboard, wandb, mlflow; may be repeated."),
    ] = None,
    suffix: Annotated[str | None, typer.Option("--suffix", help="For openai: part of the new model's name.")] = None,
    base_url: BaseUrl = None,
    api_key_file: ApiKeyFile = None,
    **flags: Unpack[DatasetFlags],
) -> None:
    """Finetune a model on simulated conversations. Interrupted, it goes on from its last checkpoint.

    Writes train.jsonl or train_dpo.jsonl (and validation files) beside the conversations, and the model into
    --output_dir. With --finetuning_type dpo, tiny and sft start from the sft_model in --save_dir, which must have been
    trained before; any other --model is the one to start from. With --model_type openai an endpoint trains, and the
    folder holds the new model's name.

    Example:

    \b
    autograms finetune --save_dir simulation_data --model tiny --max_steps 200
    autograms finetune --save_dir simulation_data --model tiny --finetuning_type dpo --max_steps 30
    autograms finetune --save_dir simulation_data --model Qwen/Qwen2.5-0.5B-Instruct --lora_r 16
    autograms finetune --save_dir simulation_data --model gpt-4o-mini-2024-07-18 --model_type openai
    autograms finetune --save_dir simulation_data --prepare_data_only --near_duplicates 0.8 --max_tokens_total 200000
    """
    from autograms.cli.recipes import build_settings, dataset_settings, read_recipe_file
    from autograms.cli.results import alone
    from autograms.cli.rows import build_rows, write_rows
    from autograms.settings import DpoRecipe, SftRecipe

    kind = finetuning_type.rows
    recipe_type = DpoRecipe if kind == "dpo" else SftRecipe
    for flag, value in (("--beta", beta), ("--rounds", rounds)):
        if value is not None and kind != "dpo":
            raise SettingsError(f"{flag} is an option of --finetuning_type dpo")
    recipe_options, dataset_options = read_recipe_file(config_file, recipe_type)
    settings = dataset_settings(flags, dataset_options)
    recipe = build_settings(
        recipe_type,
        recipe_options,
        {
            "model": model,
            "backend": model_type.value,
            "epochs": epochs,
            "max_steps": max_steps,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "gradient_accumulation": gradient_accumulation,
            "max_length": max_length,
            "truncate": truncate,
            "lora": None if lora_r is None else {"r": lora_r, "alpha": 2 * lora_r},
            "beta": beta,
            "rounds": rounds,
            "seed": seed,
            "report_to": report_to or None,
            "suffix": suffix,
        },
    )
    named = model is not None or "model" in recipe_options
    if not prepare_data_only and not named:
        raise SettingsError("--model is missing: name one (tiny is the embedded student), or give --prepare_data_only")
    with alone(save_dir) if save_dir.is_dir() else nullcontext():
        start = _start(save_dir, recipe) if kind == "dpo" and not prepare_data_only else recipe.model
        counted_in_tokens = named and recipe.backend == "huggingface" and start != "sft"
        built = build_rows(save_dir, settings, kind=kind, model=start if counted_in_tokens else None)
        write_rows(built, save_dir, kind=kind, flavor=model_type)
        if prepare_data_only:
            return
        target = output_dir or save_dir / f"{kind}_model"
        if model_type is ProviderType.openai:
            _finetune_at_endpoint(
                save_dir, kind, recipe, target, start=start, base_url=base_url, api_key_file=api_key_file
            )
        else:
            _finetune_here(built.table, recipe, target, start=start, settings=settings, save_dir=save_dir)


def _start(save_dir: Path, recipe: SftRecipe) -> str:
    """Return what preference training starts from: the folder's SFT model where the recipe says so."""
    from autograms.finetuning.openai_jobs import read_openai_result

    folder = save_dir / "sft_model"
    if recipe.backend == "openai" and recipe.model == "sft":
        trained = read_openai_result(folder)
        if trained is None:
            raise SettingsError(
                f"--finetuning_type dpo with --model sft starts from the model that {folder} stands for, and there is "
                "none of an endpoint; run --finetuning_type normal first, or name another --model"
            )
        return trained.model
    if recipe.backend != "huggingface" or recipe.model not in ("tiny", "sft"):
        return recipe.model
    if not (folder / "config.json").is_file():
        raise SettingsError(
            f"--finetuning_type dpo with --model {recipe.model} starts from the model in {folder}, and there is none; "
            "run --finetuning_type normal first, or name another --model"
        )
    return str(folder)


def _finetune_here(
    table: pa.Table, recipe: SftRecipe, output_dir: Path, *, start: str, settings: DatasetSettings, save_dir: Path
) -> None:
    from autograms.cli.results import read_results
    from autograms.finetuning.events import describe
    from autograms.finetuning.train import train_dpo, train_sft
    from autograms.rounds import train_rounds
    from autograms.settings import DpoRecipe

    def tell(event: dict[str, Any]) -> None:
        print(describe(event), flush=True)

    if isinstance(recipe, DpoRecipe):
        result = train_rounds(
            table,
            recipe.rounds,
            base=start,
            output_dir=output_dir,
            scratch=output_dir.with_name(f".{output_dir.name}.rounds"),
            train=lambda pairs, base, target: train_dpo(
                pairs, recipe, target, base=base, name=output_dir.name, on_event=tell
            ),
            memories=lambda: read_results(save_dir),
            settings=settings,
            tell=lambda line: print(line, flush=True),
        )
    else:
        result = train_sft(table, recipe, output_dir, on_event=tell)
    if result.eval_loss_before is not None and result.eval_loss_after is not None:
        print(f"held-out loss: {result.eval_loss_before:.3f} before, {result.eval_loss_after:.3f} after")
    print(f"trained {result.steps} steps in {result.seconds:.1f} s; wrote {result.model}")
    print(f"use it as --model checkpoint/{os.path.relpath(result.model)}")


def _finetune_at_endpoint(
    save_dir: Path,
    kind: RowKind,
    recipe: SftRecipe,
    output_dir: Path,
    *,
    start: str,
    base_url: str | None,
    api_key_file: Path | None,
) -> None:
    from autograms.cli.configuration import read_openai_key
    from autograms.datasets.openai_rules import require_openai_file
    from autograms.finetuning.events import describe
    from autograms.finetuning.openai_jobs import run_openai_job

    suffix = "_dpo" if kind == "dpo" else ""
    train, validation = save_dir / f"train{suffix}.jsonl", save_dir / f"validation{suffix}.jsonl"
    require_openai_file(train, kind=kind)
    result = run_openai_job(
        train,
        recipe,
        kind=kind,
        state_file=save_dir / f"openai_{kind}.json",
        base=start,
        validation_file=validation if validation.is_file() else None,
        base_url=base_url,
        api_key=read_openai_key(api_key_file),
        on_event=lambda event: print(describe(event), flush=True),
    )
    result.write(output_dir)
    print(f"job {result.job} made {result.model} from {result.base}; {output_dir} stands for it")
    print(f"use it as --model openai/{result.model}")
