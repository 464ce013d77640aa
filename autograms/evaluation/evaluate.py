"""Evaluation: base, SFT and DPO models on held-out rows and in deployment, as figures, pictures and a report.

What does not belong here: how any one figure is computed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.conversation.atomic import replacing
from autograms.errors import DatasetError, TrainingError
from autograms.evaluation.agreement import agreement
from autograms.evaluation.answers import Candidate
from autograms.evaluation.comparison import render_comparison
from autograms.evaluation.metrics import Estimate
from autograms.evaluation.report import render_report
from autograms.evaluation.rows import HeldOut, held_out
from autograms.evaluation.scoring import Scored, better_by, preference, score_model, summary
from autograms.finetuning.job import TrainingResult, read_result
from autograms.finetuning.student import is_tiny
from autograms.settings import EvaluationSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from autograms.conversation.record import Memory
    from autograms.models import Model

__all__ = ["Evaluation", "evaluate"]

_DEFAULT_BETA = 0.1
Figures = dict[str, "Estimate | None"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        metrics: The content of ``metrics.json``.
        better: Whether the last model is better than its base beyond doubt.
        verdict: The same as a sentence with the interval.
        report: ``report.md``.
        pictures: The pictures beside it.
        seconds: How long it took.
        comparison: ``comparison.html``, ``None`` where no conversation was held.
    """

    metrics: dict[str, Any]
    better: bool
    verdict: str
    report: Path
    pictures: list[Path]
    seconds: float
    comparison: Path | None = None


def evaluate(
    *,
    sft_table: pa.Table,
    dpo_table: pa.Table,
    base: Candidate,
    sft: Candidate,
    dpo: Candidate | None,
    output_dir: Path,
    settings: EvaluationSettings,
    deployment: Callable[[Candidate], list[Memory]] | None = None,
    supervised: Sequence[Memory] = (),
    name: str = "",
    api_key: str | None = None,
) -> Evaluation:
    """Evaluate the models on the rows of the split ``validation``, and write what was found.

    Writes ``metrics.json``, ``report.md``, pictures, and ``comparison.html`` where conversations are held. A model that
    can only be asked has no loss, preference accuracy and margin; both files say so.

    Args:
        sft_table: Rows of the SFT schema.
        dpo_table: Pairs of the DPO schema; may be empty.
        base: The model that training started from: its folder, or a model to ask.
        sft: The SFT model.
        dpo: The DPO model, ``None`` where there is none.
        output_dir: Folder of the results.
        settings: How many rows, how long, which judge.
        deployment: Runs the autogram on held-out scenarios with one of the models, and returns the conversations.
        supervised: The conversations of these scenarios under supervision, which the models' are compared with.
        name: The autogram, for the report's title.
        api_key: The key of the judge's endpoint; the environment's where unset.

    Raises:
        DatasetError: Where no row is held out.
        ModelError: Where a model or the judge cannot be loaded or asked.
    """
    judge = _judge(settings, api_key)
    started = time.monotonic()
    rows = held_out(sft_table, "sft", limit=settings.max_rows, seed=settings.seed)
    if not rows:
        raise DatasetError(
            f"no rows to evaluate on: none of the {sft_table.num_rows} SFT rows is in the split 'validation'; "
            "simulate more conversations, or raise dataset.validation_fraction"
        )
    pairs = held_out(dpo_table, "dpo", limit=settings.max_rows, seed=settings.seed)
    models = {"base": base, "sft": sft, **({"dpo": dpo} if dpo is not None else {})}
    scored = {key: score_model(key, model, rows, pairs, settings) for key, model in models.items()}
    if deployment is not None and settings.max_scenarios > 0:
        for key, model in models.items():
            scored[key].conversations = deployment(model)
    figures = _figures(scored, rows, pairs, settings, judge, beta=_beta(dpo))
    if supervised:
        for key, found in scored.items():
            figures[key]["conversation_agreement"] = agreement(found.conversations, supervised, seed=settings.seed)
    gain = better_by(scored["dpo" if dpo else "sft"], scored["base"], rows, seed=settings.seed)
    assert gain is not None
    metrics = _metrics(figures, scored, rows, pairs, gain, untrained_base=_is_untrained(base))
    output_dir.mkdir(parents=True, exist_ok=True)
    pictures = _draw(figures, [model for model in (sft, dpo) if isinstance(model, Path)], output_dir)
    title = f"Evaluation of {name}" if name else "Evaluation"
    comparison = _compare(title, metrics["verdict"]["statement"], figures, scored, supervised, output_dir)
    report = render_report(
        title=title,
        verdict=metrics["verdict"]["statement"],
        figures=figures,
        rows=rows,
        models=list(scored.values()),
        pictures=pictures,
        comparison=comparison,
        notes=_notes(rows, pairs, settings, metrics["asked_only"]),
    )
    _write(output_dir / "report.md", report)
    _write(output_dir / "metrics.json", json.dumps(metrics, indent=2))
    verdict = metrics["verdict"]
    seconds = time.monotonic() - started
    report_file = output_dir / "report.md"
    return Evaluation(metrics, verdict["better"], verdict["statement"], report_file, pictures, seconds, comparison)


def _figures(
    scored: Mapping[str, Scored],
    rows: list[HeldOut],
    pairs: list[HeldOut],
    settings: EvaluationSettings,
    judge: Model | None,
    *,
    beta: float,
) -> dict[str, Figures]:
    figures = {key: summary(model, rows, seed=settings.seed) for key, model in scored.items()}
    for key, model in scored.items():
        found = preference(model, scored["sft"], pairs, beta=beta, seed=settings.seed)
        figures[key]["preference_accuracy"] = found.accuracy
        if key == "dpo":
            figures[key] |= {"reward_accuracy": found.reward_accuracy, "margin": found.margin}
    if judge is not None:
        from autograms.evaluation.judge import win_rate

        base = scored["base"].answers
        for key in [key for key in scored if key != "base"]:
            figures[key]["win_rate"] = win_rate(judge, rows, scored[key].answers, base, seed=settings.seed)
    return figures


def _judge(settings: EvaluationSettings, api_key: str | None) -> Model | None:
    """Return the judge: a wrong name or a missing key shows before anything is measured."""
    from autograms.models import resolve_model

    if settings.judge is None:
        return None
    return resolve_model(settings.judge, base_url=settings.judge_base_url, api_key=api_key)


def _metrics(
    figures: dict[str, Figures],
    scored: Mapping[str, Scored],
    rows: list[HeldOut],
    pairs: list[HeldOut],
    gain: Estimate,
    *,
    untrained_base: bool,
) -> dict[str, Any]:
    final = list(scored)[-1]
    metrics: dict[str, Any] = {
        "rows": {"sft": len(rows), "dpo": len(pairs)},
        "base": _section(figures["base"], None),
        "sft": _section(figures["sft"], figures["base"]),
    }
    if "dpo" in figures:
        metrics["dpo"] = _section(figures["dpo"], figures["sft"])
    metrics["deployment"] = {key: _deployed(model.conversations) for key, model in scored.items()}
    metrics["asked_only"] = _asked_only(scored)
    metrics["verdict"] = {
        "better": gain.low > 0,
        "model": final,
        "difference": gain.value,
        "interval": gain.interval,
        "rows": gain.count,
        "statement": _statement(scored[final], figures[final], gain, untrained_base=untrained_base),
    }
    return metrics


_TOLD = {"exact_match": "exact match", "conversation_agreement": "conversations as supervised"}


def _statement(final: Scored, figures: Figures, gain: Estimate, *, untrained_base: bool) -> str:
    """Return the verdict as a sentence: better than its base need not be good, so it tells how good as well."""
    words = "is better than" if gain.low > 0 else "is not better than"
    base = "its base, an untrained model" if untrained_base else "its base"
    parts = [
        f"The {final.name.upper()} model {words} {base}: {gain.value:+.3f} in score on {gain.count} held-out rows "
        f"(95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
    ]
    absolute = [
        f"{label} {found.value:.3f}" for measure, label in _TOLD.items() if (found := figures.get(measure)) is not None
    ]
    if absolute:
        parts.append(f"by itself: {', '.join(absolute)}")
    deployed = _deployed(final.conversations)
    if deployed["failed"]:
        parts.append(f"{deployed['failed']} of its {deployed['conversations']} conversations in deployment failed")
    return "; ".join(parts)


_OF_LIKELIHOODS = ["eval_loss", "preference_accuracy", "reward_accuracy", "margin"]
_ONCE = ("margin", "reward_accuracy", "win_rate", "preference_accuracy")


def _section(after: Figures, before: Figures | None) -> dict[str, Any]:
    """Return one model's part of ``metrics.json``: ``X_before`` and ``X_after``, or plain ``X`` for the base."""
    section: dict[str, Any] = {}
    intervals: dict[str, list[float]] = {}
    named: dict[str, Estimate | None] = {}
    for measure, found in after.items():
        named[measure if before is None or measure in _ONCE else f"{measure}_after"] = found
    for measure, found in (before or {}).items():
        if measure in after:
            named[f"{measure}_before"] = found
    for key, estimate in named.items():
        if estimate is not None:
            section[key] = estimate.value
            intervals[key] = estimate.interval
    return {**section, "intervals": intervals}


def _deployed(conversations: list[Memory]) -> dict[str, int]:
    return {
        "conversations": len(conversations),
        "failed": sum(memory.status == "failed" for memory in conversations),
    }


def _asked_only(scored: Mapping[str, Scored]) -> dict[str, dict[str, Any]]:
    """Return, for each model without likelihoods, what was not measured and what asking it cost."""
    asked = {key: model for key, model in scored.items() if model.losses is None}
    return {key: {"not_measured": _OF_LIKELIHOODS, "cost_usd": _cost(model)} for key, model in asked.items()}


def _cost(model: Scored) -> float | None:
    calls = [call for memory in model.conversations for call in memory.calls if call.side == "chatbot" and call.model]
    costs = [model.cost_usd, *(call.cost_usd for call in calls)]
    return None if None in costs else sum(cost or 0.0 for cost in costs)


def _compare(
    title: str,
    verdict: str,
    figures: dict[str, Figures],
    scored: Mapping[str, Scored],
    supervised: Sequence[Memory],
    output_dir: Path,
) -> Path | None:
    """Write the page with the conversations; without any, remove that of an earlier evaluation."""
    path = output_dir / "comparison.html"
    conversations = {key: model.conversations for key, model in scored.items() if model.conversations}
    if not conversations:
        path.unlink(missing_ok=True)
        return None
    _write(path, render_comparison(title, conversations, supervised, verdict=verdict, figures=figures))
    return path


def _draw(figures: dict[str, Figures], folders: list[Path], output_dir: Path) -> list[Path]:
    from autograms.evaluation import plots

    shares: dict[str, dict[str, Estimate]] = {}
    labels = {
        "exact_match": "exact match",
        "rouge_l": "ROUGE-L",
        "agreement": "decisions\nagreed",
        "valid_json": "valid\nJSON",
        "preference_accuracy": "preference\naccuracy",
    }
    for measure, label in labels.items():
        values = {model: found for model in figures if (found := figures[model].get(measure)) is not None}
        if values:
            shares[label] = values
    pictures = [plots.plot_before_after(shares, output_dir / "before_after.png")]
    trainings = [training for folder in folders if (training := _training(folder)) is not None]
    if trainings:
        pictures.append(plots.plot_loss(trainings, output_dir / "loss.png"))
        pictures += [plots.plot_margin(run, output_dir / "margin.png") for run in trainings if run.kind == "dpo"]
        pictures.append(plots.plot_lengths(trainings, output_dir / "lengths.png"))
    return pictures


def _training(folder: Path) -> TrainingResult | None:
    """Return the record of a training; models that came from elsewhere have none."""
    try:
        return read_result(folder)
    except TrainingError:
        return None


def _is_untrained(base: Candidate) -> bool:
    return isinstance(base, Path) and is_tiny(base) and _training(base) is None


def _beta(dpo: Candidate | None) -> float:
    training = _training(dpo) if isinstance(dpo, Path) else None
    return float(training.recipe.get("beta", _DEFAULT_BETA)) if training is not None else _DEFAULT_BETA


def _notes(
    rows: list[HeldOut], pairs: list[HeldOut], settings: EvaluationSettings, asked_only: Mapping[str, dict[str, Any]]
) -> list[str]:
    notes = [
        f"{len(rows)} rows and {len(pairs)} preference pairs of conversations that were not trained on; at most "
        f"{settings.max_rows} of each.",
        f"Answers are greedy, at most {settings.max_new_tokens} tokens, to the requests that the deployed autogram "
        "makes. A decision is the likeliest of its choices.",
        "Intervals: 95 %, bootstrap over conversations. The verdict compares row by row: exact match for decisions, "
        "ROUGE-L for everything else.",
        "Preference accuracy: share of the pairs whose chosen answer is likelier, a token, than the rejected one. "
        "Reward margin: how much likelier DPO made the chosen answer than the rejected one, as log-probabilities "
        "relative to the SFT model, times beta; reward accuracy: share of the pairs where that is above 0.",
    ]
    if asked_only:
        costs = [asked["cost_usd"] for asked in asked_only.values()]
        told = "an unknown amount" if None in costs else f"{sum(costs):.4f} US dollars"
        notes.append(
            f"{', '.join(key.upper() for key in asked_only)}: an endpoint was asked, which tells no likelihoods: loss, "
            "preference accuracy, reward accuracy and margin are not measured, and a decision is what the model says. "
            f"Asking cost {told}."
        )
    if settings.judge is not None:
        notes.append(f"Judge: {settings.judge}, each pair in both orders; a verdict that changes with the order ties.")
    return notes


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
