"""``report.md``: the verdict, the figures, the pictures, and what the models said, side by side.

What does not belong here: measuring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autograms.conversation.markdown import cell, code, quoted
from autograms.conversation.record import Memory
from autograms.conversation.tool_calls import readable
from autograms.evaluation.metrics import Estimate
from autograms.evaluation.rows import HeldOut
from autograms.evaluation.scoring import Scored

__all__ = ["figure_rows", "render_report"]

_NAMES = {"base": "base", "sft": "SFT", "dpo": "DPO"}
_LABELS = {
    "eval_loss": "loss a token (nats)",
    "exact_match": "exact match",
    "rouge_l": "ROUGE-L",
    "agreement": "decisions agreed",
    "valid_json": "valid structured answers",
    "preference_accuracy": "preference accuracy",
    "reward_accuracy": "reward accuracy",
    "margin": "reward margin (nats x beta)",
    "conversation_agreement": "conversations as supervised",
    "win_rate": "judge's win rate against base",
}
_SAMPLES, _CONVERSATIONS, _LONGEST = 6, 3, 600


def render_report(
    *,
    title: str,
    verdict: str,
    figures: Mapping[str, Mapping[str, Estimate | None]],
    rows: Sequence[HeldOut],
    models: Sequence[Scored],
    pictures: Sequence[Path],
    notes: Sequence[str],
    comparison: Path | None = None,
) -> str:
    """Return the report as Markdown.

    Args:
        title: What was evaluated.
        verdict: One sentence.
        figures: For each model: for each measure its estimate.
        rows: The held-out rows.
        models: What the models did, the base first.
        pictures: Picture files beside the report.
        notes: How things were measured.
        comparison: The page beside the report that shows all conversations.
    """
    parts = [f"# {quoted(title)}", "", f"**{quoted(verdict)}**", "", *_figures(figures), ""]
    for picture in pictures:
        parts += [f"![{picture.stem.replace('_', ' ')}]({picture.name})", ""]
    parts += _conversations(models, comparison)
    parts += _samples(rows, models)
    parts += ["## How this was measured", "", *(f"- {quoted(note)}" for note in notes), ""]
    return "\n".join(parts)


def figure_rows(figures: Mapping[str, Mapping[str, Estimate | None]]) -> list[tuple[str, list[str]]]:
    """Return the measures that were taken, each with its value and interval for each model.

    Args:
        figures: For each model: for each measure its estimate.
    """
    rows = []
    for measure, label in _LABELS.items():
        found = [values.get(measure) for values in figures.values()]
        if any(found):
            rows.append((label, [_number(value) for value in found]))
    return rows


def _figures(figures: Mapping[str, Mapping[str, Estimate | None]]) -> list[str]:
    return [
        f"| held-out measure (95 % interval) | {' | '.join(_NAMES[model] for model in figures)} |",
        f"|---|{'---:|' * len(figures)}",
        *(f"| {label} | {' | '.join(values)} |" for label, values in figure_rows(figures)),
    ]


def _number(found: Estimate | None) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})" if found else ""


def _conversations(models: Sequence[Scored], comparison: Path | None) -> list[str]:
    shown = [model for model in models if model.conversations]
    if not shown:
        return []
    lines = ["## Conversations in deployment, side by side", ""]
    if comparison is not None:
        count = len(shown[0].conversations)
        link = f"[{comparison.name}]({comparison.name})"
        lines += [f"The first ones; all {count}, beside what the supervisors said: {link}", ""]
    by_key = [{memory.scenario: memory for memory in model.conversations} for model in shown]
    for memory in shown[0].conversations[:_CONVERSATIONS]:
        lines += [f"### Scenario {code(memory.scenario)}", ""]
        lines += [f"| {' | '.join(_NAMES[model.name] for model in shown)} |", f"|{'---|' * len(shown)}"]
        lines += _turns([memories.get(memory.scenario) for memories in by_key])
        lines.append("")
    return lines


def _turns(memories: Sequence[Memory | None]) -> list[str]:
    columns = []
    for memory in memories:
        said = (
            [f"**{turn['role']}**: {cell(readable(turn), _LONGEST)}" for turn in memory.transcript()] if memory else []
        )
        if memory is not None and memory.status == "failed":
            said.append(f"*failed: {cell(memory.error_message or memory.error or '', _LONGEST)}*")
        columns.append(said)
    return [
        "| " + " | ".join(column[index] if index < len(column) else "" for column in columns) + " |"
        for index in range(max((len(column) for column in columns), default=0))
    ]


def _samples(rows: Sequence[HeldOut], models: Sequence[Scored]) -> list[str]:
    lines = ["## Held-out rows, side by side", ""]
    lines += [f"| asked last | expected | {' | '.join(_NAMES[model.name] for model in models)} |"]
    lines += [f"|---|---|{'---|' * len(models)}"]
    step = max(1, len(rows) // _SAMPLES)
    for index in range(0, len(rows), step)[:_SAMPLES]:
        last = str(rows[index].row.messages[-1].get("content") or "") if rows[index].row.messages else ""
        cells = [last, rows[index].expected, *(model.answers[index] for model in models)]
        lines.append(f"| {' | '.join(cell(text, _LONGEST) for text in cells)} |")
    return [*lines, ""]
