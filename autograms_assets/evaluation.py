"""The assets ``evaluation`` (of one autogram's models) and ``leaderboard`` (of all that were evaluated).

What does not belong here: measuring, and writing the report (``autograms.evaluation``).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from autograms.settings import AutogramSettings
from autograms_assets.autograms import refuse_changed
from autograms_assets.checks import evaluation_checks, evaluation_verdicts
from autograms_assets.describe import QUALITY, described
from autograms_assets.failures import clear_failures
from autograms_assets.fingerprints import table_version, value_version, versions_of
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.pictures import inline_png
from autograms_assets.reuse import AssetConfig, Made, Request, reuse_or_make
from autograms_assets.scenarios import read_scenarios
from autograms_assets.stored import Folder, Stored
from autograms_assets.workspace import Workspace

if TYPE_CHECKING:
    from autograms.conversation.record import Memory
    from autograms.evaluation import Candidate
    from autograms.models import Model
    from autograms.simulation.scenarios import Scenario

__all__ = ["evaluation", "leaderboard"]

_METRICS, _REPORT, _COMPARISON = "metrics.json", "report.md", "comparison.html"
_STACK = ("torch", "transformers", "autograms-assets")
_ASKED = ("user", "user decides", "judge")
"""Models that an evaluation asks beside those that it compares."""
_HEADLINES = (
    "sft.eval_loss_before",
    "sft.eval_loss_after",
    "sft.exact_match_before",
    "sft.exact_match_after",
    "dpo.preference_accuracy",
    "dpo.margin",
    "dpo.exact_match_after",
)


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    pool="gpu",
    deps=["sft_model", "dpo_model"],
    check_specs=evaluation_checks(),
    **described(QUALITY, "pytorch"),
)
def evaluation(
    context: dg.AssetExecutionContext,
    config: AssetConfig,
    autogram: Stored,
    scenarios: Stored,
    conversation_memories: Stored,
    sft_dataset: Stored,
    dpo_dataset: Stored,
    workspace: dg.ResourceParam[Workspace],
) -> dg.MaterializeResult:
    """Base and finetuned models over held-out rows, and in the deployed program: metrics, a report, pictures."""
    from autograms.simulation.project import identities

    name = context.partition_key
    with clear_failures(workspace.storage):
        settings = workspace.settings(name)
        refuse_changed(name, workspace.sources(name), autogram)
        stored = {
            "autogram": autogram,
            "scenarios": scenarios,
            "conversations": conversation_memories,
            "sft rows": sft_dataset,
            "dpo pairs": dpo_dataset,
        }
        models = {kind: workspace.folder(f"{kind}_model", name) for kind in ("sft", "dpo")}
        depends_on = {
            **{
                what: place.version
                for what, place in (stored | {f"{kind} model": m for kind, m in models.items()}).items()
            },
            "settings": settings.evaluation.model_dump(mode="json", exclude={"batch_size"}),
            "config": [settings.config, settings.user_config],
            "models": identities(settings, name, of=_ASKED),
            "versions": versions_of(*_STACK),
        }
        place = workspace.folder("evaluation", name)
        job = _Job(name, settings, workspace, place, stored, models)
        return reuse_or_make(place, depends_on, job.run, request=Request.of(context, config))


@dg.asset(
    dagster_type=dg.Any,
    deps=[dg.AssetDep("evaluation", partition_mapping=dg.AllPartitionMapping())],
    **described(QUALITY, "parquet"),
)
def leaderboard(
    context: dg.AssetExecutionContext, config: AssetConfig, workspace: dg.ResourceParam[Workspace]
) -> dg.MaterializeResult:
    """All autograms that were evaluated, one row each, by how well their model does."""
    with clear_failures(workspace.storage):
        evaluations = workspace.folders("evaluation")
        depends_on = {name: folder.version for name, folder in evaluations.items()}
        place = workspace.stored("leaderboard")
        return reuse_or_make(place, depends_on, lambda: _ranked(evaluations), request=Request.of(context, config))


class _Job:
    """One evaluation, from the models to the published folder."""

    def __init__(
        self,
        name: str,
        settings: AutogramSettings,
        workspace: Workspace,
        place: Folder,
        stored: dict[str, Stored],
        models: dict[str, Folder],
    ) -> None:
        self.name, self.settings, self.workspace, self.place = name, settings, workspace, place
        self.stored, self.models = stored, models

    def run(self) -> Made:
        """Evaluate, and describe what came of it."""
        from autograms.evaluation import evaluate

        sft, dpo = (self.models[kind].local() for kind in ("sft", "dpo"))
        trained_dpo = any((dpo / file).is_file() for file in ("config.json", "model.json"))
        self.place.invalidate()
        scenarios = self._held_out()
        evaluate(
            sft_table=self.stored["sft rows"].table(),
            dpo_table=self.stored["dpo pairs"].table(),
            base=self._base(sft),
            sft=self._candidate(sft),
            dpo=self._candidate(dpo) if trained_dpo else None,
            output_dir=self.place.work,
            settings=self.settings.evaluation,
            deployment=self._deployment(scenarios),
            supervised=self._supervised(scenarios),
            name=self.name,
        )
        metrics = json.loads((self.place.work / _METRICS).read_bytes())
        return Made(value_version(metrics), _summary(metrics, self.place), evaluation_verdicts(metrics))

    def _base(self, sft: Path) -> "Candidate":
        from autograms.finetuning import read_openai_result

        at_endpoint = read_openai_result(sft)
        if at_endpoint is not None:
            return self._asked(at_endpoint.base)
        return sft / "base" if (sft / "base").is_dir() else Path(self.settings.sft.model)

    def _candidate(self, folder: Path) -> "Candidate":
        from autograms.finetuning import read_openai_result

        at_endpoint = read_openai_result(folder)
        return folder if at_endpoint is None else self._asked(at_endpoint.model)

    def _asked(self, name: str) -> "Model":
        from autograms.models import resolve_model

        return resolve_model(f"openai/{name}", base_url=self.settings.base_url)

    def _supervised(self, scenarios: "list[Scenario]") -> "list[Memory]":
        from autograms.conversation.parquet import stream_memories

        played = {scenario.key for scenario in scenarios}
        return [memory for memory in stream_memories(self.stored["conversations"].path) if memory.scenario in played]

    def _deployment(self, scenarios: "list[Scenario]") -> "Callable[[Candidate], list[Memory]] | None":
        if not scenarios:
            return None

        def play(model: "Candidate") -> "list[Memory]":
            from autograms.simulation.project import open_simulator

            deployed = f"checkpoint/{model}" if isinstance(model, Path) else model
            simulator = open_simulator(self.workspace.project(), self.name, deployed=deployed)
            return simulator.run(scenarios).memories

        return play

    def _held_out(self) -> "list[Scenario]":
        rows = self.stored["sft rows"].table().select(["scenario", "split"]).to_pylist()
        held_out = {row["scenario"] for row in rows if row["split"] == "validation"}
        scenarios = read_scenarios(self.stored["scenarios"].table())
        return [row for row in scenarios if row.key in held_out][: self.settings.evaluation.max_scenarios]


def _figure(metrics: dict[str, Any], name: str) -> float | None:
    """Return a figure by its dotted name, ``None`` where it was not measured."""
    value: Any = metrics
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _label(name: str) -> str:
    """Return a figure's name as people read it: ``sft.eval_loss_before`` is ``SFT: held-out loss before``."""
    model, _, measure = name.partition(".")
    return f"{model.upper()}: {measure.replace('eval', 'held-out').replace('_', ' ')}"


def _summary(metrics: dict[str, Any], place: Folder) -> dict[str, Any]:
    pictures = sorted(place.work.glob("*.png"))
    comparison = place.work / _COMPARISON
    return {
        "verdict": metrics["verdict"]["statement"],
        "held-out rows": metrics["rows"]["sft"],
        "held-out pairs": metrics["rows"]["dpo"],
        "conversations in deployment": metrics["deployment"]["sft"]["conversations"],
        "asked at an endpoint": metrics["asked_only"],
        **{_label(name): _figure(metrics, name) for name in _HEADLINES},
        "report": {"md": _by_itself((place.work / _REPORT).read_text(encoding="utf-8"))},
        "report file": {"path": str(place.path / _REPORT)},
        **({"conversations side by side": {"path": str(place.path / _COMPARISON)}} if comparison.is_file() else {}),
        **{f"picture: {picture.stem.replace('_', ' ')}": inline_png(picture, picture.stem) for picture in pictures},
    }


def _by_itself(text: str) -> str:
    """Return a report without its pictures, and without the link to the file beside it: neither leads on in the UI."""
    alone = "\n".join(line for line in text.splitlines() if not line.startswith("!["))
    return alone.replace(f"[{_COMPARISON}]({_COMPARISON})", f"`{_COMPARISON}`")


def _ranked(evaluations: dict[str, Folder]) -> Made:
    rows: list[dict[str, Any]] = []
    for name, folder in evaluations.items():
        metrics = json.loads((folder.path / _METRICS).read_bytes())
        rows.append({"autogram": name, **{headline: _figure(metrics, headline) for headline in _HEADLINES}})
    rows.sort(key=lambda row: (-float(row["sft.exact_match_after"] or 0.0), row["autogram"]))
    columns: dict[str, pa.DataType] = {"autogram": pa.string(), **dict.fromkeys(_HEADLINES, pa.float64())}
    table = pa.Table.from_pylist(rows, schema=pa.schema(columns))
    return Made(table_version(table), {"rows": len(rows), "board": {"md": _as_markdown(rows)}}, table=table)


def _as_markdown(rows: list[dict[str, Any]]) -> str:
    lines = ["| autogram | " + " | ".join(map(_label, _HEADLINES)) + " |", "|---|" + "---:|" * len(_HEADLINES)]
    for row in rows:
        figures = ("" if row[name] is None else f"{row[name]:.3f}" for name in _HEADLINES)
        lines.append(f"| {row['autogram']} | " + " | ".join(figures) + " |")
    return "\n".join(lines)
