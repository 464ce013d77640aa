"""Pictures: loss curves, margins, before and after, lengths of the rows.

What does not belong here: computing what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.conversation.atomic import replacing
from autograms.evaluation.metrics import Estimate
from autograms.finetuning.job import TrainingResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_before_after", "plot_lengths", "plot_loss", "plot_margin"]

_COLOURS = {"base": "#8a9099", "sft": "#2b6cb0", "dpo": "#d9722e"}
_NAMES = {"base": "base", "sft": "SFT", "dpo": "DPO"}
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.labelcolor": "#333a44",
    "axes.edgecolor": "#9aa1ab",
    "grid.color": "#e5e8ec",
    "font.size": 11,
    "legend.frameon": False,
    "savefig.bbox": "tight",
}


def plot_loss(trainings: Sequence[TrainingResult], path: Path) -> Path:
    """Draw the loss of each training over its steps: a line as trained, dots on held-out rows."""
    with _canvas(path, panels=len(trainings), width=5.6) as axes:
        for axis, training in zip(axes, trainings, strict=True):
            colour = _COLOURS[training.kind]
            axis.plot(*_curve(training, "loss"), color=colour, linewidth=1.8, label="training rows")
            steps, losses = _curve(training, "eval_loss")
            if steps:
                axis.plot(steps, losses, "o--", color="#333a44", linewidth=1, markersize=5, label="held-out rows")
            if min([*losses, *_curve(training, "loss")[1]], default=0.0) > 0:
                axis.set_yscale("log")
            axis.set_title(f"{_NAMES[training.kind]}: loss")
            axis.set_xlabel("step")
            axis.set_ylabel("nats a token" if training.kind == "sft" else "DPO's loss and nats a token")
            axis.legend()
    return path


def plot_margin(training: TrainingResult, path: Path) -> Path:
    """Draw margin and accuracy of the implicit rewards over the steps of a DPO training."""
    with _canvas(path, panels=2, width=5.0) as axes:
        pairs = (
            ("rewards/margins", "DPO: reward margin", "nats x beta"),
            ("rewards/accuracies", "DPO: reward accuracy", "share of the pairs"),
        )
        for axis, (key, title, unit) in zip(axes, pairs, strict=True):
            axis.plot(*_curve(training, key), color=_COLOURS["dpo"], linewidth=1.8, label="training pairs")
            steps, values = _curve(training, f"eval_{key}")
            if steps:
                axis.plot(steps, values, "o--", color="#333a44", linewidth=1, markersize=5, label="held-out pairs")
            axis.set_title(title)
            axis.set_xlabel("step")
            axis.set_ylabel(unit)
            axis.legend(loc="lower right")
        axes[1].set_ylim(-0.03, 1.05)
    return path


def plot_before_after(measures: Mapping[str, Mapping[str, Estimate]], path: Path) -> Path:
    """Draw shares between 0 and 1 as groups of bars, a bar a model, with their intervals.

    Args:
        measures: For each measure's name: for each model its estimate.
        path: The picture's file.
    """
    names = list(measures)
    models = [name for name in _COLOURS if any(name in values for values in measures.values())]
    with _canvas(path, panels=1, width=max(5.0, 1.2 + 1.7 * len(names))) as (axis,):
        width = 0.8 / max(1, len(models))
        for place, model in enumerate(models):
            shown = [(index, values[model]) for index, values in enumerate(measures.values()) if model in values]
            offsets = [index + (place - (len(models) - 1) / 2) * width for index, _ in shown]
            heights = [found.value for _, found in shown]
            errors = [
                [max(0.0, found.value - found.low) for _, found in shown],
                [max(0.0, found.high - found.value) for _, found in shown],
            ]
            axis.bar(offsets, heights, width * 0.92, color=_COLOURS[model], label=_NAMES[model])
            axis.errorbar(offsets, heights, yerr=errors, fmt="none", ecolor="#333a44", elinewidth=1.2, capsize=3)
            for offset, (_, found) in zip(offsets, shown, strict=True):
                axis.text(offset, min(1.02, found.high + 0.02), f"{found.value:.2f}", ha="center", fontsize=9)
        axis.set_xticks(range(len(names)), names)
        axis.set_ylim(0, 1.12)
        axis.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
        axis.set_title("Held-out rows (whiskers: 95 % interval)")
        axis.legend(ncols=len(models), loc="upper left", bbox_to_anchor=(0, -0.1))
    return path


def plot_lengths(trainings: Sequence[TrainingResult], path: Path) -> Path:
    """Draw how long the trained rows are, in tokens."""
    with _canvas(path, panels=len(trainings), width=5.0) as axes:
        for axis, training in zip(axes, trainings, strict=True):
            bins = training.audit.get("histogram", [])
            width = bins[1][0] - bins[0][0] if len(bins) > 1 else 1
            axis.bar(
                [start for start, _ in bins],
                [count for _, count in bins],
                width=width * 0.94,
                align="edge",
                color=_COLOURS[training.kind],
            )
            axis.set_title(f"{_NAMES[training.kind]}: length of rows")
            axis.set_xlabel("tokens")
            axis.set_ylabel("rows")
    return path


def _curve(training: TrainingResult, key: str) -> tuple[list[float], list[float]]:
    points = [(entry["step"], entry[key]) for entry in training.history if key in entry]
    return [step for step, _ in points], [value for _, value in points]


@contextmanager
def _canvas(path: Path, *, panels: int, width: float) -> Iterator[list[Axes]]:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width * panels, 3.6), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        axes: Any = figure.subplots(1, panels, squeeze=False)
        yield list(axes[0])
        with replacing(path) as file:
            figure.savefig(file, format="png", metadata={"Software": "autograms"})
