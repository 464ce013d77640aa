"""``autograms evaluate``: whether the finetuned models do the job, measured on conversations that were held out."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from autograms.cli.options import DatasetFlags, SaveDir, spelled_out
from autograms.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from autograms.conversation.record import Memory
    from autograms.simulation.scenarios import Scenario

__all__ = ["evaluate"]


@spelled_out
def evaluate(
    save_dir: SaveDir = Path("simulation_data"),
    sft_model: Annotated[
        Path | None, typer.Option("--sft_model", help="The SFT model's folder; sft_model in --save_dir where unset.")
    ] = None,
    dpo_model: Annotated[
        Path | None,
        typer.Option("--dpo_model", help="The DPO model's folder; dpo_model in --save_dir where unset and there."),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", help="Folder of the model before training; as the SFT model says where unset."),
    ] = None,
    max_rows: Annotated[int | None, typer.Option("--max_rows", help="Held-out rows that are answered.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="provider/model of a judge.")] = None,
    autogram_file: Annotated[
        Path | None,
        typer.Option("--autogram_file", help="The program, to be run with each model on held-out scenarios."),
    ] = None,
    userbot_file: Annotated[
        Path | None, typer.Option("--userbot_file", help="The user's program for these runs.")
    ] = None,
    user_model: Annotated[str, typer.Option("--user_model", help="The user's model for these runs.")] = "offline/demo",
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Folder for the report; evaluation in --save_dir where unset.")
    ] = None,
    **flags: Unpack[DatasetFlags],
) -> None:
    """Evaluate the models that finetune trained, before and after, on rows whose conversations they never saw.

    Writes metrics.json, report.md and pictures; with --autogram_file also comparison.html, which shows the
    conversations with each model side by side. What is held out follows from the options of the dataset (--tag_query
    and those below it), which must be those of the training.

    Example:

    \b
    autograms evaluate --save_dir simulation_data
    """
    from autograms.cli.recipes import build_settings, dataset_settings
    from autograms.cli.results import read_results
    from autograms.datasets import build_dpo, build_sft
    from autograms.evaluation import evaluate as measure
    from autograms.settings import EvaluationSettings

    dataset = dataset_settings(flags)
    settings = build_settings(EvaluationSettings, {}, {"max_rows": max_rows, "judge": judge})
    sft = _model(sft_model or save_dir / "sft_model", "--sft_model", "autograms finetune")
    dpo = _preferred(dpo_model, save_dir)
    memories = read_results(save_dir)
    sft_table = build_sft(memories, dataset).table
    deployment, supervised = None, []
    if autogram_file is not None:
        held_out = _held_out_scenarios(memories, sft_table)[: settings.max_scenarios]
        deployment = partial(_deploy, autogram_file, userbot_file, user_model, held_out)
        played = {scenario.key for scenario in held_out}
        supervised = [memory for memory in memories if memory.scenario in played]
    evaluation = measure(
        sft_table=sft_table,
        dpo_table=build_dpo(memories, dataset).table,
        base=base or _base(sft),
        sft=sft,
        dpo=dpo,
        output_dir=output_dir or save_dir / "evaluation",
        settings=settings,
        deployment=deployment,
        supervised=supervised,
    )
    print(evaluation.verdict)
    print(f"wrote {evaluation.report}, and metrics.json beside it")
    if evaluation.comparison is not None:
        print(f"wrote {evaluation.comparison}: the conversations side by side")


def _held_out_scenarios(memories: list[Memory], sft_table: pa.Table) -> list[Scenario]:
    from autograms.simulation.scenarios import Scenario

    rows = zip(sft_table["scenario"].to_pylist(), sft_table["split"].to_pylist(), strict=True)
    held_out = {scenario for scenario, split in rows if split == "validation"}
    return [
        Scenario(key=memory.scenario, **json.loads(memory.scenario_data))
        for memory in memories
        if memory.scenario in held_out and memory.scenario_data
    ]


def _deploy(
    autogram_file: Path, userbot_file: Path | None, user_model: str, scenarios: list[Scenario], model: Path
) -> list[Memory]:
    """Run the program with a trained model, supervisors off, on scenarios that it was not trained on."""
    from autograms.cli.programs import open_program, plain_user_file
    from autograms.simulation.simulator import Simulator

    chatbot = open_program(autogram_file, model=f"checkpoint/{model}")
    userbot = open_program(userbot_file or plain_user_file(), model=user_model, side="user")
    return Simulator(chatbot, userbot, concurrency=32).run(scenarios).memories


def _model(folder: Path, flag: str, remedy: str) -> Path:
    if not (folder / "config.json").is_file():
        raise SettingsError(
            f"no model at {folder}: expected a Hugging Face model folder; name one with {flag}, or run {remedy}"
        )
    return folder


def _preferred(given: Path | None, save_dir: Path) -> Path | None:
    if given is not None:
        return _model(given, "--dpo_model", "autograms finetune --finetuning_type dpo")
    default = save_dir / "dpo_model"
    return default if (default / "config.json").is_file() else None


def _base(sft: Path) -> Path:
    """Return what the SFT model was trained from: the folder it keeps of the embedded student, or what it names."""
    from autograms.finetuning.job import read_result

    student = sft / "base"
    return student if student.is_dir() else Path(read_result(sft).base)
