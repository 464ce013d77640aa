"""``autograms sync``: Dagster's partitions follow the project's autograms."""

from __future__ import annotations

import typer

__all__ = ["sync"]


def sync() -> None:
    """Register each autogram of the project as a partition, and remove those whose files are gone.

    Afterwards Dagster's own command works too: dagster asset materialize -m dagster_project --select '*'
    --partition NAME. The project is $AUTOGRAMS_PROJECT, else that of the current folder.

    Example:  autograms sync
    """
    from autograms.cli.orchestration import MODULE, run_module
    from autograms.settings import load_project

    load_project()
    raise typer.Exit(run_module([f"{MODULE}.sync"]))
