"""The assets ``sft_model`` and ``dpo_model``: the student, finetuned.

Training runs in a process of its own, through Dagster Pipes, so that its loss appears in the run's log as it falls and
a cancelled run stops it at a checkpoint. What does not belong here: training (``autograms.finetuning``).
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
import pyarrow as pa
from dagster._core.errors import DagsterPipesExecutionError  # not among the names that dagster exports

from autograms.models.files import model_version
from autograms.settings import DpoRecipe, SftRecipe
from autograms_assets.describe import MODELS, described
from autograms_assets.failures import clear_failures
from autograms_assets.fingerprints import versions_of
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.pictures import inline_png, small_bars, small_curve
from autograms_assets.reuse import AssetConfig, Made, Request, reuse_or_make
from autograms_assets.stored import Folder, Stored
from autograms_assets.workspace import Workspace

if TYPE_CHECKING:
    from autograms.finetuning.job import TrainingResult

__all__ = ["dpo_model", "sft_model"]

_NOT_IN_THE_RESULT = {"launcher", "report_to", "save_steps"}
_MEASURES = {
    "mean_token_accuracy": "held-out token accuracy",
    "rewards/accuracies": "held-out reward accuracy",
    "rewards/margins": "held-out reward margin",
    "rewards/chosen": "held-out reward of chosen answers",
    "rewards/rejected": "held-out reward of rejected answers",
    "logps/chosen": "log-probability of chosen answers",
    "logps/rejected": "log-probability of rejected answers",
}
"""TRL's names of what it measures, in words."""
_STACK = ("torch", "transformers", "trl", "peft")


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    pool="gpu",
    **described(MODELS, "huggingface", "pytorch"),
)
def sft_model(
    context: dg.AssetExecutionContext,
    config: AssetConfig,
    sft_dataset: Stored,
    workspace: dg.ResourceParam[Workspace],
    pipes: dg.PipesSubprocessClient,
) -> dg.MaterializeResult:
    """The student, finetuned on the SFT rows: a Hugging Face model folder with a card."""
    with clear_failures(workspace.storage):
        settings = workspace.settings(context.partition_key)
        recipe = settings.sft
        place = workspace.folder("sft_model", context.partition_key)
        depends_on = {"rows": sft_dataset.version, **_recipe_that_counts(recipe, settings.base_url)}
        request = Request.of(context, config)
        training = _Training("sft", context, pipes, workspace, recipe, sft_dataset, request.force)
        return reuse_or_make(place, depends_on, training.run, request=request)


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    pool="gpu",
    deps=["sft_model"],
    **described(MODELS, "huggingface", "pytorch"),
)
def dpo_model(
    context: dg.AssetExecutionContext,
    config: AssetConfig,
    dpo_dataset: Stored,
    workspace: dg.ResourceParam[Workspace],
    pipes: dg.PipesSubprocessClient,
) -> dg.MaterializeResult:
    """The SFT model, trained on the preference pairs; left out where there are no pairs."""
    with clear_failures(workspace.storage):
        settings = workspace.settings(context.partition_key)
        recipe = settings.dpo
        place = workspace.folder("dpo_model", context.partition_key)
        depends_on = {"pairs": dpo_dataset.version, **_recipe_that_counts(recipe, settings.base_url)}
        if recipe.rounds > 1:
            depends_on["conversations"] = workspace.stored("conversation_memories", context.partition_key).version
        base = None
        if recipe.model == "sft":
            sft = workspace.folder("sft_model", context.partition_key)
            depends_on["sft model"], base = sft.version, sft
        request = Request.of(context, config)
        training = _Training("dpo", context, pipes, workspace, recipe, dpo_dataset, request.force, base)
        return reuse_or_make(place, depends_on, training.run, request=request)


class _Training:
    """One training, from its rows to the published folder."""

    def __init__(
        self,
        kind: Literal["sft", "dpo"],
        context: dg.AssetExecutionContext,
        pipes: dg.PipesSubprocessClient,
        workspace: Workspace,
        recipe: SftRecipe,
        rows: Stored,
        force: bool,
        base: Folder | None = None,
    ) -> None:
        self.kind, self.context, self.pipes, self.workspace = kind, context, pipes, workspace
        self.recipe, self.rows, self.force, self.base = recipe, rows, force, base
        self.place = workspace.folder(f"{kind}_model", context.partition_key)

    def run(self) -> Made:
        """Train and publish, or leave an empty folder where there is nothing to train on."""
        table = self.rows.table()
        if self.kind == "dpo" and "train" not in table["split"].to_pylist():
            return self._nothing()
        if self.recipe.backend == "openai":
            return self._train_at_endpoint(table)
        result = self._train_rounds(table) if isinstance(self.recipe, DpoRecipe) else self._train(table)
        version = model_version(self.place.work)
        return Made(version, _summary(result, self.place))

    def _train_rounds(self, pairs: pa.Table) -> "TrainingResult":
        from autograms.conversation.parquet import stream_memories
        from autograms.rounds import train_rounds

        name, recipe = self.context.partition_key, self.recipe
        assert isinstance(recipe, DpoRecipe)
        memories = self.workspace.stored("conversation_memories", name)
        return train_rounds(
            pairs,
            recipe.rounds,
            base=self.base.local() if self.base else recipe.model,
            output_dir=self.place.work,
            scratch=self.workspace.scratch("dpo_model", name),
            train=self._train,
            memories=lambda: stream_memories(memories.path),
            settings=self.workspace.settings(name).dataset,
            tell=self.context.log.info,
        )

    def _train(self, table: pa.Table, base: Path | str | None = None, target: Path | None = None) -> "TrainingResult":
        from autograms.finetuning.job import finish_job, prepare_job

        job = prepare_job(
            self.kind,
            table,
            self.recipe,
            target or self.place.work,
            base=base,
            name=self.context.partition_key,
            resume=not self.force,
        )
        try:
            self.pipes.run(context=self.context, command=job.command)
        except DagsterPipesExecutionError as error:
            self.context.log.error(str(error))  # the exit status alone: finish_job tells what the worker said
        return finish_job(job)

    def _train_at_endpoint(self, table: pa.Table) -> Made:
        from autograms_assets.endpoint_training import train_at_endpoint

        name = self.context.partition_key
        scratch = self.workspace.scratch(f"{self.kind}_model", name)
        if self.force:  # a job's state would lead back to the job that has run already
            (scratch / f"{self.kind}_job.json").unlink(missing_ok=True)
        return train_at_endpoint(
            self.kind,
            table,
            self.recipe,
            base=self.base,
            base_url=self.workspace.settings(name).base_url,
            place=self.place,
            scratch=scratch,
            log=self.context.log,
        )

    def _nothing(self) -> Made:
        if self.place.work.exists():
            shutil.rmtree(self.place.work)
        self.place.work.mkdir(parents=True)
        self.context.log.info("no pairs: no answer was rejected, so there is nothing to train on")
        summary = {"trained": False, "why": "no answer was rejected, so there are no pairs"}
        return Made("no pairs", summary)


def _recipe_that_counts(recipe: SftRecipe, base_url: str | None) -> dict[str, Any]:
    from autograms.finetuning.tokens import MASKS
    from autograms.models.openai import endpoint_origin

    return {
        "recipe": recipe.model_dump(mode="json", exclude=_NOT_IN_THE_RESULT),
        "base": model_version(recipe.model),
        "endpoint": endpoint_origin(base_url) if recipe.backend == "openai" else None,
        "versions": {"masks": MASKS, **versions_of(*_STACK)},
    }


def _summary(result: "TrainingResult", place: Folder) -> dict[str, Any]:
    from autograms.evaluation.plots import plot_loss

    picture = plot_loss([result], place.work / "loss.png")
    return {
        "trained": True,
        "held-out loss before": result.eval_loss_before,
        "held-out loss after": result.eval_loss_after,
        **{_MEASURES.get(name, name.replace("_", " ")): value for name, value in result.metrics.items()},
        "loss": small_curve(_history(result, "loss"), "training loss by step"),
        "held-out loss": small_curve(_history(result, "eval_loss"), "held-out loss by step"),
        "margin": small_curve(_history(result, "rewards/margins"), "reward margin by step"),
        "rows trained on": result.train_rows,
        "rows held out": result.validation_rows,
        "steps": result.steps,
        "training seconds": round(result.seconds, 2),
        "device": result.device,
        "lengths": small_bars(result.audit.get("histogram", []), "rows by length in tokens"),
        "loss, large": inline_png(picture, "training and evaluation loss by step"),
        "card": {"path": str(place.path / "README.md")},
    }


def _history(result: "TrainingResult", key: str) -> list[tuple[float, float]]:
    return [(entry["step"], entry[key]) for entry in result.history if key in entry]
