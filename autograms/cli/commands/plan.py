"""``autograms plan``: what a simulation would take, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograms.errors import AutogramsError

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

    Conversations that fail by the answers that are there are listed as "would fail", with the program's line. The exit
    status is 2 where all of an autogram's would, or where an autogram cannot be planned; the others are planned still.

    Example:

    \b
    autograms plan support_desk
    """
    from autograms.cli.complaints import complain
    from autograms.settings import load_project

    project = load_project()
    problems: list[object] = []
    for each in [name] if name is not None else project.names():
        try:
            found = _plan(project, each, fresh=fresh)
        except AutogramsError as error:
            problems.append(error)
            continue
        _print(found)
        if found.failures and found.failing == found.conversations:
            problems.append(f"every conversation of {each} would fail; the first: {found.failures[0].told()}")
    if problems:
        raise typer.Exit(complain(*problems))


def _print(plan: Plan) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("plan", "", title=plan.name, title_justify="left")
    for what, much in plan.rows():
        table.add_row(what, escape(much))
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
