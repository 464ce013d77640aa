"""Does it learn? The embedded student on the examples whose teachers are made of rules, over several seeds.

Simulates each autogram once, then for each seed builds rows, finetunes, trains on preferences, and evaluates on
held-out rows and held-out scenarios. The seed varies the split, the initial weights and the order of the rows. Prints a
Markdown table; finished seeds are kept in --work, so that an interrupted run goes on. With --unseen_wording each seed
holds out one of the users' wordings altogether, which is much harder: the student then meets words that it never saw.

python -m benchmarks.learning --seeds 5
python -m benchmarks.learning --seeds 5 --unseen_wording
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from autograms import Autogram
from autograms.conversation.record import Memory
from autograms.datasets import build_dpo, build_sft
from autograms.evaluation import evaluate
from autograms.finetuning import train_dpo, train_sft
from autograms.models import resolve_model
from autograms.settings import AutogramSettings, Project, load_project
from autograms.simulation import Scenario, Simulator, load_scenarios

NAMES = ("request_router", "order_extractor", "formal_writer")
WORDING = {"request_router": "request", "order_extractor": "phrasing", "formal_writer": "phrasing"}
"""The keyword of the users' programs that chooses among their wordings."""
MEASURES = {
    "exact match, before training": "base.exact_match",
    "exact match, after SFT": "sft.exact_match_after",
    "exact match, after DPO": "dpo.exact_match_after",
    "whole conversations as supervised, after DPO": "dpo.conversation_agreement_after",
    "preference accuracy, before training": "base.preference_accuracy",
    "preference accuracy, after SFT": "sft.preference_accuracy",
    "preference accuracy, after DPO": "dpo.preference_accuracy",
    "reward accuracy, after DPO": "dpo.reward_accuracy",
    "reward margin, after DPO": "dpo.margin",
}
ABOUT: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "rows trained on, held out": lambda runs: (
        f"{statistics.mean(run['train_rows'] for run in runs):.0f}, "
        f"{statistics.mean(run['held_out_rows'] for run in runs):.0f}"
    ),
    "optimizer steps, SFT + DPO": lambda runs: " + ".join(str(step) for step in runs[0]["steps"]),
    "seconds a seed, all included": lambda runs: f"{statistics.mean(run['seconds'] for run in runs):.0f}",
}
STUDENT_T = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
"""97.5 % quantiles of Student's t for the mean of so many values."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path("examples"))
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--unseen_wording", action="store_true")
    parser.add_argument("--work", type=Path, help="build/learning, or build/learning_unseen with --unseen_wording")
    options = parser.parse_args()
    project, unseen = load_project(options.project), options.unseen_wording
    work = options.work or Path("build/learning_unseen" if unseen else "build/learning")
    results = {
        name: [measure(project, name, seed, work, unseen=unseen) for seed in range(options.seeds)]
        for name in options.names
    }
    print("\n".join(table(results)))


def measure(project: Project, name: str, seed: int, work: Path, *, unseen: bool) -> dict[str, Any]:
    """Return the metrics of one autogram and seed, from the work folder where they are finished."""
    settings = seeded(project.settings(name), seed)
    folder = work / name / str(seed)
    finished, depends_on = folder / "finished.json", dependencies(project, name, settings)
    if finished.is_file() and (kept := json.loads(finished.read_text()))["depends_on"] == depends_on:
        return kept
    started = time.monotonic()
    memories = simulate(project, name, settings)
    sft_rows, dpo_rows = build_sft(memories, settings.dataset).table, build_dpo(memories, settings.dataset).table
    if unseen:
        sft_rows, dpo_rows = (by_wording(rows, project, name, seed) for rows in (sft_rows, dpo_rows))
    sft = train_sft(sft_rows, settings.sft, folder / "sft")
    dpo = train_dpo(dpo_rows, settings.dpo, folder / "dpo", base=folder / "sft")
    held_out = set(
        sft_rows.filter([side == "validation" for side in sft_rows["split"].to_pylist()])["scenario"].to_pylist()
    )
    found = evaluate(
        sft_table=sft_rows,
        dpo_table=dpo_rows,
        base=folder / "sft" / "base",
        sft=folder / "sft",
        dpo=folder / "dpo",
        output_dir=folder / "evaluation",
        settings=settings.evaluation,
        deployment=deployment(project, name, settings, held_out),
        supervised=memories,
        name=name,
    )
    result = {
        **found.metrics,
        "train_rows": sft.train_rows,
        "held_out_rows": sft.validation_rows,
        "steps": [sft.steps, dpo.steps],
        "seconds": time.monotonic() - started,
        "depends_on": depends_on,
    }
    finished.write_text(json.dumps(result))
    figures = {key: round(figure(result, key), 3) for key in MEASURES.values()}
    print(f"{name}, seed {seed}, {result['seconds']:.0f} s: {figures}", flush=True)
    return result


def by_wording(rows: pa.Table, project: Project, name: str, seed: int) -> pa.Table:
    """Return the rows with another split: one wording is held out, and no row of it trains."""
    wordings = {scenario.key: scenario.user_kwargs[WORDING[name]] for scenario in scenarios(project, name)}
    left_out = seed % (max(wordings.values()) + 1)
    split = ["validation" if wordings[key] == left_out else "train" for key in rows["scenario"].to_pylist()]
    return rows.set_column(rows.schema.get_field_index("split"), rows.schema.field("split"), pa.array(split))


def dependencies(project: Project, name: str, settings: AutogramSettings) -> dict[str, Any]:
    """Return all that a result depends on, as plain data."""
    parts = {part: getattr(settings, part) for part in ("dataset", "sft", "dpo", "evaluation")}
    files = (project.chatbot_file(name), project.userbot_file(settings), project.scenario_file(settings))
    return {
        **{part: value.model_dump(mode="json", exclude_defaults=True) for part, value in parts.items()},
        "files": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file is not None],
    }


def seeded(settings: AutogramSettings, seed: int) -> AutogramSettings:
    """Return the settings with the seed in the split and in both recipes, and all held-out scenarios played."""
    return settings.model_copy(
        update={
            "dataset": settings.dataset.model_copy(update={"split_seed": seed}),
            "sft": settings.sft.model_copy(update={"seed": seed}),
            "dpo": settings.dpo.model_copy(update={"seed": seed}),
            "evaluation": settings.evaluation.model_copy(update={"max_scenarios": 1000}),
        }
    )


def simulate(project: Project, name: str, settings: AutogramSettings) -> list[Memory]:
    return (
        simulator(project, name, settings, settings.model, supervisor_mode=True).run(scenarios(project, name)).memories
    )


def deployment(
    project: Project, name: str, settings: AutogramSettings, held_out: set[str]
) -> Callable[[Path], list[Memory]]:
    """Return what plays the held-out scenarios with the model in a folder, no supervisor acting."""
    played = [scenario for scenario in scenarios(project, name) if scenario.key in held_out]

    def play(model: Path) -> list[Memory]:
        return simulator(project, name, settings, f"checkpoint/{model}", supervisor_mode=False).run(played).memories

    return play


def simulator(
    project: Project, name: str, settings: AutogramSettings, model: str, *, supervisor_mode: bool
) -> Simulator:
    chatbot = Autogram.from_file(
        project.chatbot_file(name), model=resolve_model(model), supervisor_mode=supervisor_mode
    )
    userbot = Autogram.from_file(project.userbot_file(settings), model=resolve_model(settings.model))
    return Simulator(chatbot, userbot, concurrency=settings.concurrency)


def scenarios(project: Project, name: str) -> list[Scenario]:
    settings = project.settings(name)
    return load_scenarios(project.scenario_file(settings), num_turns=settings.num_turns, seed=settings.seed)


def table(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the Markdown table: the mean over the seeds, its 95 % interval (Student's t), and the worst seed."""
    names = " | ".join(f"`{name}`" for name in results)
    lines = [
        f"| held-out measure: mean of the seeds (95 % interval), worst seed | {names} |",
        "|---|" + "---|" * len(results),
    ]
    for label, key in MEASURES.items():
        cells = [spread([figure(run, key) for run in runs], share=key != "dpo.margin") for runs in results.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    for label, describe in ABOUT.items():
        lines.append(f"| {label} | " + " | ".join(describe(runs) for runs in results.values()) + " |")
    return lines


def figure(metrics: dict[str, Any], name: str) -> float:
    section, key = name.split(".")
    return float(metrics[section][key])


def spread(values: list[float], *, share: bool) -> str:
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.2f}"
    half = STUDENT_T[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    low, high = mean - half, mean + half
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return f"{mean:.2f} ({low:.2f} to {high:.2f}), {min(values):.2f}"


if __name__ == "__main__":
    main()
