"""A training job on disk: what a worker is told, in a folder beside the model that it will make, and its publication.

A job is prepared, run (by :mod:`autograms.finetuning.train`, or by anything that can start its command), and
finished. What does not belong here: starting processes, and training.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from autograms.conversation.atomic import replacing
from autograms.errors import DatasetError, TrainingError
from autograms.finetuning.card import write_card
from autograms.finetuning.occupied import wait_until_left
from autograms.finetuning.student import TINY, is_tiny
from autograms.finetuning.tokens import MASKS, read_rows
from autograms.finetuning.trackers import keep_logs
from autograms.models.files import model_version
from autograms.settings import DpoRecipe, SftRecipe

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Job", "JobSpec", "TrainingResult", "finish_job", "prepare_job", "read_result"]

_SPEC, _ROWS, _RESULT, _FAILURE = "job.json", "rows.parquet", "training.json", "failure.json"
_PACKAGES = ("torch", "transformers", "trl", "tokenizers")


class JobSpec(BaseModel):
    """What a worker is told: the content of ``job.json``.

    Attributes:
        kind: ``sft`` or ``dpo``.
        work: The job's folder.
        base: ``tiny``, a model's folder, or its name on the hub.
        recipe: The recipe, as plain data.
        name: What the model is called in its card.
        data_hash: Hash of the rows, hex.
        fingerprint: Hash of all that the result depends on, hex.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sft", "dpo"]
    work: Path
    base: str
    recipe: dict[str, Any]
    name: str
    data_hash: str
    fingerprint: str

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> JobSpec:
        """Read ``job.json``.

        Raises:
            TrainingError: Where it is missing or damaged.
        """
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except (OSError, ValidationError) as error:
            raise TrainingError(f"no training job at {path}: expected the job.json of prepare_job ({error})") from None

    def sft_recipe(self) -> SftRecipe:
        """Return the recipe with the settings that both kinds of training share."""
        return self.dpo_recipe() if self.kind == "dpo" else SftRecipe(**self.recipe)

    def dpo_recipe(self) -> DpoRecipe:
        """Return the recipe of a DPO job."""
        return DpoRecipe(**self.recipe)

    @property
    def rows(self) -> Path:
        """The rows, both splits, as Parquet."""
        return self.work / _ROWS

    @property
    def tiny(self) -> bool:
        """Whether the embedded student is trained."""
        return is_tiny(self.base)

    @property
    def start(self) -> str:
        """Folder or hub name of the model that training starts from."""
        return str(self.work / "base") if self.base == TINY else self.base

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.work / "checkpoints"

    def last_checkpoint(self) -> Path | None:
        """Return the newest checkpoint that is whole: one that a killed worker was writing lacks its state."""
        whole = [path.parent for path in self.checkpoints.glob("checkpoint-*/trainer_state.json") if _is_json(path)]
        return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.work / "model"

    @property
    def failure(self) -> Path:
        """File that says why the worker failed."""
        return self.work / _FAILURE


@dataclass(frozen=True, slots=True)
class Job:
    """A prepared job.

    Attributes:
        spec: What the worker is told.
        output_dir: The model's folder, once finished.
        command: The worker's command, launcher first.
    """

    spec: JobSpec
    output_dir: Path
    command: list[str]


@dataclass(slots=True)
class TrainingResult:
    """A finished training, as ``training.json`` keeps it.

    Attributes:
        kind: ``sft`` or ``dpo``.
        name: What the model is called.
        model: The model's folder.
        base: ``tiny``, a folder or a hub name: what training started from.
        data_hash: Hash of the rows, hex.
        fingerprint: Hash of all that the result depends on, hex.
        recipe: The recipe, as plain data.
        versions: Packages and their versions.
        device: Where it was trained.
        train_rows: Rows of the training split that were trained on.
        validation_rows: Rows of the held-out split.
        steps: Optimizer steps.
        seconds: Time of the training loop.
        eval_loss_before: Held-out loss before the first step; ``None`` without held-out rows.
        eval_loss_after: Held-out loss after the last step.
        metrics: Further held-out figures after the last step (of DPO: rewards).
        history: ``{"step", "loss", ...}`` of the logged steps, ``{"step", "eval_loss", ...}`` of the evaluations.
        audit: The token audit of the training rows.
    """

    kind: str
    name: str
    model: str
    base: str
    data_hash: str
    fingerprint: str
    recipe: dict[str, Any]
    versions: dict[str, str]
    device: str
    train_rows: int
    validation_rows: int
    steps: int
    seconds: float
    eval_loss_before: float | None
    eval_loss_after: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    audit: dict[str, Any] = field(default_factory=dict)

    @property
    def base_model(self) -> str:
        """Folder or hub name of the untrained model: of the tiny student, the copy kept in the model's folder."""
        return str(Path(self.model) / "base") if self.base == TINY else self.base

    def write(self, folder: Path) -> None:
        """Write ``training.json`` into a folder, atomically."""
        _write_json(folder / _RESULT, asdict(self))


def read_result(model_dir: str | os.PathLike[str]) -> TrainingResult:
    """Read the ``training.json`` of a trained model.

    Raises:
        TrainingError: Where there is none, or it is damaged.
    """
    path = Path(model_dir) / _RESULT
    try:
        return TrainingResult(**{**json.loads(path.read_bytes()), "model": str(model_dir)})
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"no training record at {path}: expected a model trained here ({error})") from None


def prepare_job(
    kind: Literal["sft", "dpo"],
    table: pa.Table,
    recipe: SftRecipe,
    output_dir: Path,
    *,
    base: str | Path | None = None,
    name: str | None = None,
    resume: bool = True,
) -> Job:
    """Write all that a worker needs into ``.NAME.work`` beside the output folder.

    A work folder that an interrupted job of the same fingerprint left is taken up again, checkpoints included; any
    other one is removed. Where a worker is still stopping there, it is waited for.

    Args:
        kind: ``sft`` or ``dpo``.
        table: Rows of the SFT or the DPO schema.
        recipe: How to train; a :class:`~autograms.settings.DpoRecipe` for ``dpo``.
        output_dir: The model's folder.
        base: What training starts from, where it is not the recipe's ``model``.
        name: What the model is called in its card; the output folder's name where unset.
        resume: Take up an interrupted job.

    Raises:
        DatasetError: Where there are no rows to train on.
        TrainingError: Where the recipe or the base cannot be.
    """
    import pyarrow.parquet as parquet

    output_dir = Path(output_dir).resolve()
    start = _check(kind, recipe, base)
    rows = list(read_rows(table, kind))
    if not any(row.split == "train" for row in rows):
        raise DatasetError(
            f"no {kind} rows to train on ({len(rows)} rows in the table, none of them in the split 'train'); "
            "simulate more conversations, or widen the dataset's filters"
        )
    data_hash = _hash([(row.split, row.messages, row.answers, *filter(None, [row.tools])) for row in rows])
    plain = recipe.model_dump(mode="json")
    effective = {key: value for key, value in plain.items() if key not in ("report_to", "suffix", "backend")}
    versions = [MASKS, *(version(package) for package in _PACKAGES)]
    spec = JobSpec(
        kind=kind,
        work=output_dir.with_name(f".{output_dir.name}.work"),
        base=start,
        recipe=plain,
        name=name or output_dir.name,
        data_hash=data_hash,
        fingerprint=_hash([kind, data_hash, effective, model_version(start), versions]),
    )
    wait_until_left(spec.work)
    if not (resume and _left_over(spec)):
        shutil.rmtree(spec.work, ignore_errors=True)
    spec.work.mkdir(parents=True, exist_ok=True)
    spec.failure.unlink(missing_ok=True)
    parquet.write_table(table, spec.work / f"{_ROWS}.part", compression="zstd")
    os.replace(spec.work / f"{_ROWS}.part", spec.rows)
    _write_json(spec.work / _SPEC, spec.model_dump(mode="json"))
    launcher = list(recipe.launcher)
    worker = ["-m", "autograms.finetuning.worker", str(spec.work / _SPEC)]
    return Job(spec, output_dir, [*launcher, *worker] if launcher else [sys.executable, *worker])


def finish_job(job: Job) -> TrainingResult:
    """Publish the finished model: model, tokenizer, ``training.json`` and card appear together.

    Raises:
        TrainingError: Where the worker has not finished; the message holds what it said last.
    """
    spec = job.spec
    if not (spec.model / _RESULT).is_file():
        raise TrainingError(f"training {spec.name} ({spec.kind}) did not finish: {failure_message(spec)}")
    result = read_result(spec.model)
    result.model = str(job.output_dir)
    result.base = spec.base
    result.write(spec.model)
    if spec.base == TINY:
        shutil.copytree(spec.start, spec.model / "base", dirs_exist_ok=True)
    write_card(spec.model, asdict(result))
    keep_logs(spec.work, spec.model)
    _publish(spec.model, job.output_dir)
    shutil.rmtree(spec.work, ignore_errors=True)
    return result


def failure_message(spec: JobSpec) -> str:
    """Return why the worker failed: its own words, else the last lines of its log."""
    if spec.failure.is_file():
        return str(json.loads(spec.failure.read_bytes())["message"])
    log = spec.work / "worker.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return "\n".join(lines[-12:]) or "the worker said nothing"


def _check(kind: str, recipe: SftRecipe, base: str | Path | None) -> str:
    if recipe.backend != "huggingface":
        raise TrainingError(
            f"the recipe's backend is {recipe.backend!r}; a local training needs 'huggingface' "
            "(jobs at an endpoint run through autograms.finetuning.openai_jobs)"
        )
    if (kind == "dpo") != isinstance(recipe, DpoRecipe):
        raise TrainingError(f"{kind} needs {'a DpoRecipe' if kind == 'dpo' else 'an SftRecipe'}, not {recipe!r}")
    start = str(base if base is not None else recipe.model)
    if start == "sft":
        raise TrainingError("the recipe starts from the SFT model: pass its folder as base=")
    if Path(start).is_dir():
        return str(Path(start).resolve())
    if isinstance(base, Path) or start.startswith((".", "/", "~")):
        raise TrainingError(f"no model at {start}: expected 'tiny', a model's folder, or its name on the hub")
    return start


def _left_over(spec: JobSpec) -> bool:
    try:
        return JobSpec.load(spec.work / _SPEC).fingerprint == spec.fingerprint
    except TrainingError:
        return False


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _write_json(path: Path, value: Any) -> None:
    with replacing(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False).encode())


def _publish(finished: Path, output_dir: Path) -> None:
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    former = output_dir.with_name(f".{output_dir.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if output_dir.exists():
        os.replace(output_dir, former)
    os.replace(finished, output_dir)
    shutil.rmtree(former, ignore_errors=True)
