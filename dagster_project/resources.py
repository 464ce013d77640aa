"""The resources, and the environment variables that say which project and which storage they stand for.

``AUTOGRAMS_PROJECT`` (default ``examples``) and ``AUTOGRAMS_STORAGE`` (a folder or an object store's URL, default
``storage``) are read once, when the definitions are loaded; relative ones are taken from the current directory.
"""

import os
from pathlib import Path

import dagster as dg
from upath import UPath

from autograms_assets.io import ParquetIOManager
from autograms_assets.workspace import Workspace

__all__ = ["ParquetResource", "WorkspaceResource", "build_resources", "project_root", "storage_root"]

_SECONDS_FOR_A_CHECKPOINT = 300.0
"""How long a cancelled training may take to write its last checkpoint."""


def project_root() -> Path:
    """Return the project's folder."""
    return Path(os.environ.get("AUTOGRAMS_PROJECT") or "examples").resolve()


def storage_root() -> str:
    """Return the storage's root: an absolute path or a URL."""
    given = os.environ.get("AUTOGRAMS_STORAGE") or "storage"
    return given if "://" in given else str(Path(given).resolve())


class WorkspaceResource(dg.ConfigurableResource):
    """The project and its storage.

    Attributes:
        project: The project's folder.
        storage: The storage's root: an absolute path or a URL.
    """

    project: str
    storage: str

    def create_resource(self, context: dg.InitResourceContext) -> Workspace:
        """Return what the assets work on."""
        return Workspace(Path(self.project), UPath(self.storage))


class ParquetResource(dg.ConfigurableIOManagerFactory):
    """The IO manager.

    Attributes:
        storage: The storage's root: an absolute path or a URL.
    """

    storage: str

    def create_io_manager(self, context: dg.InitResourceContext) -> ParquetIOManager:
        """Return the IO manager over the storage's root."""
        return ParquetIOManager(UPath(self.storage))


def build_resources(project: Path | None = None, storage: str | None = None) -> dict[str, object]:
    """Return the resources by name.

    Args:
        project: The project's folder; as the environment says where unset.
        storage: The storage's root; as the environment says where unset.
    """
    root = storage or storage_root()
    return {
        "workspace": WorkspaceResource(project=str(project or project_root()), storage=root),
        "io_manager": ParquetResource(storage=root),
        "pipes": dg.PipesSubprocessClient(termination_timeout_seconds=_SECONDS_FOR_A_CHECKPOINT),
    }
