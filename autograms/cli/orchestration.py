"""Calling Dagster's own command from ours: its home, its environment, its exit status.

Dagster is never imported here, so that the command line starts fast and ``autograms`` runs without it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.cli.processes import run_process
from autograms.cli.results import JOURNAL
from autograms.conversation.atomic import storage_path
from autograms.conversation.storage import ensure_reachable, scratch_root
from autograms.errors import SettingsError
from autograms.settings import find_project

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["ASSETS", "MODULE", "environment", "journal_of", "run_module", "scratch_folder", "storage_root"]

MODULE = "dagster_project"

ASSETS = (
    "autogram",
    "scenarios",
    "conversation_memories",
    "sft_dataset",
    "dpo_dataset",
    "sft_model",
    "dpo_model",
    "evaluation",
    "leaderboard",
)
"""The chain, in order."""


def environment() -> dict[str, str]:
    """Return the environment for Dagster: ``DAGSTER_HOME`` is ``.dagster`` where results go too, if it is unset.

    The project is not named: Dagster's process finds it as this one did, from the same folder.
    """
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given).resolve() if given else find_project().home / ".dagster"
    home.mkdir(parents=True, exist_ok=True)
    if not given and not (home / "dagster.yaml").exists():
        shutil.copyfile(_instance_settings(), home / "dagster.yaml")
    return {**os.environ, "DAGSTER_HOME": str(home)}


def _instance_settings() -> Path:
    spec = find_spec(MODULE)  # which does not import it
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("dagster.yaml")


def run_module(arguments: Sequence[str], *, feed: Callable[[Iterable[str]], None] | None = None, kept: str = "") -> int:
    """Run ``python -m ARGUMENTS`` and wait for it, also when it is interrupted.

    Args:
        arguments: The module and its arguments.
        feed: Told its output, line by line; it goes where ours goes where unset.
        kept: What the message of an interrupt says further.

    Returns:
        Its exit status.

    Raises:
        Interrupted: Where a signal ended it.
    """
    return run_process([sys.executable, "-m", *arguments], environment(), feed=feed, kept=kept)


def storage_root() -> Path | UPath:
    """Return where the results of the project are.

    Raises:
        SettingsError: Where there is no such kind of storage.
        StorageError: Where an object store does not answer, refuses, or does not exist.
    """
    given = find_project().storage
    try:
        storage = storage_path(given)
    except ValueError as error:
        raise SettingsError(
            f"AUTOGRAMS_STORAGE={given!r} names no storage ({error}); expected a folder, or a URL as s3://bucket/folder"
        ) from None
    ensure_reachable(storage)
    return storage


def scratch_folder(storage: Path | UPath) -> Path:
    """Return the folder of this machine for unfinished work, and for copies of what an object store holds."""
    return scratch_root(storage, find_project().beside)


def journal_of(name: str, storage: Path | UPath) -> Path:
    """Return the journal of an autogram's simulations in Dagster."""
    return scratch_folder(storage) / "conversation_memories" / name / JOURNAL
