"""``autograms evaluate``: whether the finetuned models do the job, measured on conversations that were held out."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from autograms.cli.options import ApiKeyFile, BaseUrl, DatasetFlags, SaveDir, spelled_out

if TYPE_CHECKING:
    import pyarrow as pa

    from autograms.conversation.record import Memory
    from autograms.evaluation import Candidate
    from autograms.simulation.scenarios import Scenario

__all__ = ["evaluate"]


@spelled_out()
def evaluate(
    save_dir: SaveDir = Path("simulation_data"),
    sft_model: Annotated[
        str | None,
        typer.Option(
            "--sft_model", help="The SFT model's folder, or openai/NAME; sft_model in --save_dir where unset."
        ),
    ] = None,
    dpo_model: Annotated[
        str | None,
        typer.Option("--dpo_model", help="The DPO model likewise; dpo_model in --save_dir where unset and there."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="The model before training likewise; as the SFT model says where unset."),
    ] = None,
    max_rows: Annotated[int | None, typer.Option("--max_rows", help="Held-out rows that are answered.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="provider/model of a judge.")] = None,
    judge_base_url: Annotated[
        str | None, typer.Option("--judge_base_url", help="URL of the judge's endpoint; --base_url where unset.")
    ] = None,
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
    base_url: BaseUrl = None,
    api_key_file: ApiKeyFile = None,
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
    from autograms.cli.candidates import Candidates
    from autograms.cli.configuration import read_openai_key
    from autograms.cli.recipes import build_settings, dataset_settings
    from autograms.cli.results import read_results
    from autograms.datasets import build_dpo, build_sft
    from autograms.evaluation import evaluate as measure
    from autograms.settings import EvaluationSettings

    dataset = dataset_settings(flags)
    judged = {"judge": judge, "judge_base_url": judge_base_url or base_url}
    settings = build_settings(EvaluationSettings, {}, {"max_rows": max_rows, **judged})
    models = Candidates(save_dir, base_url, api_key_file)
    sft, dpo = models.sft(sft_model), models.dpo(dpo_model)
    memories = read_results(save_dir)
    sft_table = build_sft(memories, dataset).table
    deployment, supervised = None, []
    if autogram_file is not None:
        held_out = _held_out_scenarios(memories, sft_table)[: settings.max_scenarios]
        deployment = partial(_deploy, autogram_file, userbot_file, user_model, base_url, api_key_file, held_out)
        played = {scenario.key for scenario in held_out}
        supervised = [memory for memory in memories if memory.scenario in played]
    evaluation = measure(
        sft_table=sft_table,
        dpo_table=build_dpo(memories, dataset).table,
        base=models.base(base, sft_model),
        sft=sft,
        dpo=dpo,
        output_dir=output_dir or save_dir / "evaluation",
        settings=settings,
        deployment=deployment,
        supervised=supervised,
        api_key=read_openai_key(api_key_file) if judge is not None else None,
    )
    print(evaluation.verdict)
    if evaluation.metrics["asked_only"]:
        print("loss, preference accuracy and margin are not measured: an endpoint tells no likelihoods")
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
    autogram_file: Path,
    userbot_file: Path | None,
    user_model: str,
    base_url: str | None,
    api_key_file: Path | None,
    scenarios: list[Scenario],
    model: Candidate,
) -> list[Memory]:
    """Run the program with a trained model, supervisors off, on scenarios that it was not trained on."""
    from autograms.cli.programs import open_program, plain_user_file
    from autograms.simulation.simulator import Simulator

    played = f"checkpoint/{model}" if isinstance(model, Path) else model
    chatbot = open_program(autogram_file, model=played, base_url=base_url, api_key_file=api_key_file)
    userbot = open_program(
        userbot_file or plain_user_file(), model=user_model, base_url=base_url, api_key_file=api_key_file, side="user"
    )
    return Simulator(chatbot, userbot, concurrency=32).run(scenarios).memories
