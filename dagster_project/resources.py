"""The resources, and the environment variables that say which project and which storage they stand for.

``AUTOGRAMS_PROJECT`` (default ``examples``) and ``AUTOGRAMS_STORAGE`` (a folder or an object store's URL, default
``storage``) are read once, when the definitions are loaded; relative ones are taken from the current directory.
``AUTOGRAMS_OWNERS`` names who is shown as the assets' owners: ``ann@example.org,team:data``.
"""

import os
from pathlib import Path

import dagster as dg
from upath import UPath

from autograms_assets.io import ParquetIOManager
from autograms_assets.workspace import Workspace

__all__ = ["asset_owners", "build_resources", "project_root", "storage_root"]

_SECONDS_FOR_A_CHECKPOINT = 300.0
"""How long a cancelled training may take to write its last checkpoint."""


def project_root() -> Path:
    """Return the project's folder."""
    return Path(os.environ.get("AUTOGRAMS_PROJECT") or "examples").resolve()


def storage_root() -> str:
    """Return the storage's root: an absolute path or a URL."""
    given = (os.environ.get("AUTOGRAMS_STORAGE") or "storage").removeprefix("file://")
    return given if "://" in given else str(Path(given).resolve())


def asset_owners() -> list[str]:
    """Return who owns the assets: mail addresses and ``team:NAME``; nobody where nobody is named."""
    return [owner for name in os.environ.get("AUTOGRAMS_OWNERS", "").split(",") if (owner := name.strip())]


def build_resources(project: Path | None = None, storage: str | None = None) -> dict[str, object]:
    """Return the resources by name. None has a configuration: the launchpad asks for nothing but ``force``.

    Args:
        project: The project's folder; as the environment says where unset.
        storage: The storage's root; as the environment says where unset.
    """
    root = UPath(storage or storage_root())
    return {
        "workspace": Workspace(project or project_root(), root, beside=Path("storage").resolve()),
        "io_manager": ParquetIOManager(root),
        "pipes": dg.PipesSubprocessClient(termination_timeout_seconds=_SECONDS_FOR_A_CHECKPOINT),
    }
