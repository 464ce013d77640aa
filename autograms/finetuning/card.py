"""The model card: what a finished model is, what it was trained on, and how.

What belongs here: the card's text. What does not: measuring anything.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["render_card", "write_card"]

_TITLES = {"sft": "supervised finetuning", "dpo": "direct preference optimization"}


def write_card(folder: Path, record: dict[str, Any]) -> None:
    """Write ``README.md`` into a model's folder, atomically.

    Args:
        folder: The model's folder.
        record: The content of its ``training.json``.
    """
    temporary = folder / f".README.md.{os.getpid()}"
    temporary.write_text(render_card(record), encoding="utf-8")
    os.replace(temporary, folder / "README.md")


def render_card(record: dict[str, Any]) -> str:
    """Return the card: YAML front matter, then tables of results, data, recipe and versions."""
    base = record["base"]
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["autograms", "trl", record["kind"]],
        "autograms": {"data_sha256": record["data_hash"], "fingerprint": record["fingerprint"]},
    }
    if base != "tiny" and not Path(base).is_absolute():
        front["base_model"] = base
    return "\n".join(
        [
            "---",
            *_yaml(front),
            "---",
            "",
            f"# {record['name']}",
            "",
            f"Trained by {_TITLES[record['kind']]} on the recorded calls of an autogram, starting from "
            f"{_base_name(base)}. Every row's prompt is what the deployed autogram sends.",
            "",
            "## Results on held-out rows",
            "",
            *_results(record),
            "",
            "## Data",
            "",
            *_table(_data(record)),
            "",
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
    return f"the model `{Path(base).name if Path(base).is_absolute() else base}`"


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


def _table(values: dict[str, Any]) -> list[str]:
    rows = [f"| {key} | {_cell(value)} |" for key, value in values.items()]
    return ["| | |", "|---|---|", *rows]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")


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
