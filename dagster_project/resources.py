"""The resources, for the project and the storage that ``autograms.settings.find_project`` finds.

That is asked once, when the definitions are loaded: ``AUTOGRAMS_PROJECT`` and ``AUTOGRAMS_STORAGE`` say it, or the
current folder does.
``AUTOGRAMS_OWNERS`` names who is shown as the assets' owners: ``ann@example.org,team:data``.
"""

import os

import dagster as dg
from upath import UPath

from autograms.settings import Place
from autograms_assets.io import ParquetIOManager
from autograms_assets.workspace import Workspace

__all__ = ["asset_owners", "build_resources"]

_SECONDS_FOR_A_CHECKPOINT = 300.0
"""How long a cancelled training may take to write its last checkpoint."""


def asset_owners() -> list[str]:
    """Return who owns the assets: mail addresses and ``team:NAME``; nobody where nobody is named."""
    return [owner for name in os.environ.get("AUTOGRAMS_OWNERS", "").split(",") if (owner := name.strip())]


def build_resources(place: Place) -> dict[str, object]:
    """Return the resources by name. None has a configuration: the launchpad asks for nothing but ``force``.

    Args:
        place: The project's, and its storage's.
    """
    storage = UPath(place.storage)
    return {
        "workspace": Workspace(place.root, storage, beside=place.beside),
        "io_manager": ParquetIOManager(storage),
        "pipes": dg.PipesSubprocessClient(termination_timeout_seconds=_SECONDS_FOR_A_CHECKPOINT),
    }
