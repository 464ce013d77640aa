"""Does a second round on the student's own mistakes help? Measured on students that were trained too little.

For each seed: SFT, a first round of DPO on the supervisors' pairs, and a second one in which what the student of the
first round still answers otherwise than the supervisors joins the pairs (on training rows alone). Beside it stand two
others of as many steps: on the supervisors' pairs again, to tell the effect of the mistakes from that of more training,
and on the mistakes alone. Every model then plays the held-out scenarios. Prints a Markdown table; what is trained is
kept in --work.

python -m benchmarks.own_mistakes --seeds 5 --sft_steps 50
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from autograms.conversation.record import Memory
from autograms.datasets import build_dpo, build_sft
from autograms.evaluation.agreement import agreement
from autograms.finetuning import train_dpo, train_sft
from autograms.rounds import joined, own_mistakes
from autograms.settings import DpoRecipe, Project, load_project
from benchmarks.learning import NAMES, dependencies, deployment, seeded, simulate, spread

MODELS = {
    "sft": "after SFT",
    "first": "after round one",
    "second": "after round two, its own mistakes beside the supervisors' pairs",
    "control": "after round two, the supervisors' pairs again",
    "alone": "after round two, its own mistakes alone",
}
COUNTS = {"pairs": "pairs of its own mistakes that train", "malformed": "malformed answers, which make no pair"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path("examples"))
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sft_steps", type=int, default=50)
    parser.add_argument("--work", type=Path, default=Path("build/own_mistakes"))
    options = parser.parse_args()
    project = load_project(options.project)
    results = {
        name: [measure(project, name, seed, options.sft_steps, options.work) for seed in range(options.seeds)]
        for name in options.names
    }
    print("\n".join(table(results)))


def measure(project: Project, name: str, seed: int, sft_steps: int, work: Path) -> dict[str, Any]:
    """Return what came of one autogram and seed, from the work folder where it is finished."""
    settings = seeded(project.settings(name), seed)
    settings = settings.model_copy(update={"sft": settings.sft.model_copy(update={"max_steps": sft_steps})})
    folder = work / name / str(seed)
    finished, depends_on = folder / "finished.json", dependencies(project, name, settings)
    kept = json.loads(finished.read_text()) if finished.is_file() else {}
    if kept.get("depends_on") == depends_on and set(MODELS) <= set(kept):
        return kept
    memories = simulate(project, name, settings)
    rows, pairs = build_sft(memories, settings.dataset).table, build_dpo(memories, settings.dataset).table
    held_out = {row["scenario"] for row in rows.to_pylist() if row["split"] == "validation"}
    play = deployment(project, name, settings, held_out)
    if kept.get("depends_on") != depends_on:
        train_sft(rows, settings.sft, folder / "sft")
        train_dpo(pairs, settings.dpo, folder / "first", base=folder / "sft")
    found = own_mistakes(folder / "first", memories, settings.dataset)
    for target, table in (("second", joined(pairs, found.pairs)), ("control", pairs), ("alone", found.pairs)):
        if kept.get("depends_on") != depends_on or target not in kept:
            again(table, found.pairs, settings.dpo, folder, target)
    result = {
        **{model: agreed(play, folder / model, memories) for model in MODELS},
        "pairs": float(found.pairs["split"].to_pylist().count("train")),
        "malformed": float(found.malformed),
        "depends_on": depends_on,
    }
    finished.write_text(json.dumps(result))
    print(f"{name}, seed {seed}: { ({key: result[key] for key in (*MODELS, *COUNTS)}) }", flush=True)
    return result


def again(pairs: pa.Table, mistakes: pa.Table, recipe: DpoRecipe, folder: Path, target: str) -> None:
    """Train a second round; without a mistake that trains there is none, and the first round's model stays."""
    if target == "control" or "train" in mistakes["split"].to_pylist():
        train_dpo(pairs, recipe, folder / target, base=folder / "first")
    elif not (folder / target).exists():
        (folder / target).symlink_to(folder.resolve() / "first")


def agreed(play: Callable[[Path], list[Memory]], model: Path, memories: list[Memory]) -> float:
    found = agreement(play(model), memories, seed=0)
    assert found is not None
    return found.value


def table(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the Markdown table, as that of the benchmark ``learning``."""
    names = " | ".join(f"`{name}`" for name in results)
    lines = [f"| held-out conversations as supervised: mean (95 % interval), worst seed | {names} |"]
    lines += ["|---|" + "---|" * len(results)]
    for key, label in {**MODELS, **COUNTS}.items():
        cells = [spread([run[key] for run in runs], share=key in MODELS) for runs in results.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
