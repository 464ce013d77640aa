"""The model card: what a finished model is, what it was trained on, and how.

What belongs here: the card's text. What does not: measuring anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autograms.conversation.atomic import replacing
from autograms.conversation.markdown import cell, code, quoted

__all__ = ["render_card", "write_card"]

_TITLES = {"sft": "supervised finetuning", "dpo": "direct preference optimization"}


def write_card(folder: Path, record: dict[str, Any]) -> None:
    """Write ``README.md`` into a model's folder, atomically.

    Args:
        folder: The model's folder.
        record: The content of its ``training.json``.
    """
    with replacing(folder / "README.md") as file:
        file.write(render_card(record).encode())


def render_card(
    record: dict[str, Any], *, metrics: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
) -> str:
    """Return the card: YAML front matter, then tables of results, data, recipe and versions.

    Args:
        record: The content of a model's ``training.json``; ``first_stage`` in it tells of the training before.
        metrics: The content of the evaluation's ``metrics.json``, where there is one.
        settings: Which calls became rows, as plain data, where that is known.
    """
    base = record["base"]
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["autograms", "trl", record["kind"]],
        "autograms": {"data_sha256": record["data_hash"], "fingerprint": record["fingerprint"]},
    }
    known = base if base != "tiny" and not Path(base).is_absolute() else None
    if (base_model := record.get("base_model", known)) is not None:
        front["base_model"] = base_model
    return "\n".join(
        [
            "---",
            *_yaml(front),
            "---",
            "",
            f"# {quoted(record['name'])}",
            "",
            f"Trained by {_TITLES[record['kind']]} on the recorded calls of an autogram, starting from "
            f"{_base_name(base)}. Every row's prompt is what the deployed autogram sends.",
            "",
            "## Results on held-out rows",
            "",
            *_results(record),
            "",
            *_evaluation(metrics),
            "## Data",
            "",
            *_table(_data(record)),
            "",
            *_first_stage(record.get("first_stage")),
            *_selection(settings),
            "## Recipe",
            "",
            *_table({key: value for key, value in record["recipe"].items() if value not in (None, [], {}, "")}),
            "",
            "## Made with",
            "",
            *_table({**record["versions"], "device": record["device"]}),
            "",
        ]
    )


def _base_name(base: str) -> str:
    if base == "tiny":
        return "the embedded tiny student (random weights, a tokenizer of its own)"
    return f"the model {code(Path(base).name if Path(base).is_absolute() else base)}"


def _results(record: dict[str, Any]) -> list[str]:
    if record["eval_loss_after"] is None:
        return ["No rows were held out."]
    figures = {
        "loss before training": record["eval_loss_before"],
        "loss after training": record["eval_loss_after"],
        **record["metrics"],
    }
    return _table({name: f"{value:.4g}" for name, value in figures.items() if value is not None})


def _data(record: dict[str, Any]) -> dict[str, Any]:
    audit = record["audit"]
    return {
        "SHA-256 of the rows": record["data_hash"],
        "rows trained on": f"{record['train_rows']:,}",
        "rows held out": f"{record['validation_rows']:,}",
        "tokens trained on": f"{audit.get('tokens', 0):,}",
        "tokens with loss": f"{audit.get('loss_tokens', 0):,}",
        "optimizer steps": f"{record['steps']:,}",
        "seconds": f"{record['seconds']:.1f}",
    }


def _evaluation(metrics: Mapping[str, Any] | None) -> list[str]:
    if metrics is None:
        return []
    lines = ["## Evaluation", "", f"{quoted(metrics['verdict']['statement'])}.", ""]
    lines += ["| held-out measure | value | 95 % interval |", "|---|---:|---:|"]
    for model in ("base", "sft", "dpo"):
        section = metrics.get(model, {})
        for measure, (low, high) in section.get("intervals", {}).items():
            if not measure.endswith("_before"):
                name = f"{model}: {measure.removesuffix('_after').replace('_', ' ')}"
                lines.append(f"| {name} | {section[measure]:.3f} | {low:.3f} to {high:.3f} |")
    return [*lines, ""]


def _first_stage(stage: dict[str, Any] | None) -> list[str]:
    if stage is None:
        return []
    told = {
        "from": _base_name(stage["base"]),
        "SHA-256 of the rows": stage["data_hash"],
        "rows trained on": f"{stage['train_rows']:,}",
        "rows held out": f"{stage['validation_rows']:,}",
        "optimizer steps": f"{stage['steps']:,}",
    }
    return ["### Before that: supervised finetuning", "", *_table(told), ""]


def _selection(settings: Mapping[str, Any] | None) -> list[str]:
    chosen = {key: value for key, value in (settings or {}).items() if value not in (None, [], {}, "")}
    return ["### Which calls became rows", "", *_table(chosen), ""] if chosen else []


def _table(values: dict[str, Any]) -> list[str]:
    rows = [f"| {key} | {_cell(value)} |" for key, value in values.items()]
    return ["| | |", "|---|---|", *rows]


def _cell(value: Any) -> str:
    return cell(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _yaml(values: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_yaml(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{key}:", *(f"{indent}  - {json.dumps(item)}" for item in value)]
        else:
            lines.append(f"{indent}{key}: {json.dumps(value)}")
    return lines
