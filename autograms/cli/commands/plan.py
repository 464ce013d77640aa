"""``autograms plan``: what a simulation would take, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from upath import UPath

    from autograms.conversation.record import Memory
    from autograms.settings import Project
    from autograms.simulation.plan import Plan

__all__ = ["plan"]


def plan(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The autogram; without one, every autogram of the project.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Plan to make every call again.")] = False,
) -> None:
    """Say which conversations and calls are stale and why, and what they would cost. Nothing is asked or spent.

    Runs the programs against the answers that are stored; it needs neither an endpoint nor a key. Prices come from
    the table that is part of the package and from the file that $AUTOGRAMS_PRICES names.

    Example:

    \b
    autograms plan support_desk
    """
    from rich.console import Console
    from rich.table import Table

    from autograms.settings import load_project

    project = load_project()
    for each in [name] if name is not None else project.names():
        found = _plan(project, each, fresh=fresh)
        table = Table("plan", "", title=each, title_justify="left")
        for row in found.rows():
            table.add_row(*row)
        Console().print(table)


def _plan(project: Project, name: str, *, fresh: bool) -> Plan:
    from autograms.cli.orchestration import journal_of, storage_root
    from autograms.simulation.plan import plan
    from autograms.simulation.project import open_simulator, scenarios_of

    project.chatbot_file(name)
    storage = storage_root()
    return plan(
        open_simulator(project, name, unasked=True),
        scenarios_of(project, project.settings(name)),
        previous=_previous(storage / "conversation_memories" / f"{name}.parquet"),
        journal=journal_of(name, storage),
        fresh=fresh,
    )


def _previous(path: Path | UPath) -> list[Memory]:
    from autograms.conversation.parquet import read_memories

    return read_memories(path) if path.is_file() else []
