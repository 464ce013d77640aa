"""Finding a trained model for a command: by its autogram's name in storage, or by its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.cli.orchestration import scratch_folder, storage_root
from autograms.conversation.storage import fetch_folder
from autograms.errors import RecordError, SettingsError, nearest

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["Stage", "StoredModel", "find_model"]


class Stage(StrEnum):
    """Which of an autogram's models."""

    sft = "sft"
    dpo = "dpo"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A trained model.

    Attributes:
        name: The autogram's name, or the folder's.
        folder: The model's folder.
        autogram: Whether it belongs to an autogram of the project, in storage.
    """

    name: str
    folder: Path
    autogram: bool

    def metrics(self) -> dict[str, Any] | None:
        """Return the evaluation's ``metrics.json``, ``None`` where the model was not evaluated.

        Raises:
            RecordError: Where the file is damaged.
        """
        if not self.autogram:
            return None
        path = storage_root() / "evaluation" / self.name / "metrics.json"
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_bytes())
            return found if isinstance(found, dict) and "statement" in found["verdict"] else _damaged(path)
        except (ValueError, KeyError, TypeError):
            return _damaged(path)

    def dataset_settings(self) -> dict[str, Any] | None:
        """Return which calls became rows, ``None`` outside a project."""
        if not self.autogram:
            return None
        from autograms.settings import load_project

        return load_project().settings(self.name).dataset.model_dump(mode="json")


def find_model(name: str, stage: Stage | None = None) -> StoredModel:
    """Return a trained model.

    Args:
        name: An autogram's name, else a model's folder.
        stage: Which model of an autogram; the last there is where unset.

    Raises:
        SettingsError: Where there is none.
    """
    stages = [Stage.dpo, Stage.sft] if stage is None else [stage]
    storage = storage_root()
    for kind in stages:
        found = storage / f"{kind}_model" / name
        if "/" not in name and (found / "config.json").is_file():
            return StoredModel(name, _here(storage, found), autogram=True)
    folder = Path(name)
    if stage is None and (folder / "config.json").is_file():
        return StoredModel(folder.resolve().name, folder, autogram=False)
    known = {path.parent.name for kind in stages for path in storage.glob(f"{kind}_model/*/config.json")}
    raise SettingsError(
        f"no {' or '.join(stages)} model of {name!r} in {storage}{nearest(name, known)}; run: "
        f"autograms materialize {name}, or name a model's folder (models there: {', '.join(sorted(known)) or 'none'})"
    )


def _here(storage: Path | UPath, found: Path | UPath) -> Path:
    """Return a folder of this machine with a stored model."""
    if isinstance(found, Path):
        return found
    copy = scratch_folder(storage) / "folders" / found.parent.name / found.name
    return fetch_folder(found, copy, last="stamp.json")


def _damaged(path: Path | UPath) -> dict[str, Any]:
    raise RecordError(f"{path} is damaged; materialize evaluation again")
