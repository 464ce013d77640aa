"""``autograms show``: what came out for one autogram, in one table."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["show"]


def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The autogram; without one, the autograms of the project.")
    ] = None,
    row: Annotated[
        str | None,
        typer.Option("--row", metavar="ID", help="Id of a row, or its beginning: show the call that it came from."),
    ] = None,
) -> None:
    """Show what was simulated, built, trained and measured for an autogram, from what is stored.

    Example:

    \b
    autograms show support_desk
    autograms show --row 1f8b33
    """
    from autograms.cli.complaints import complain
    from autograms.cli.lineage import print_row
    from autograms.cli.overview import print_autogram, print_project
    from autograms.settings import load_project

    project = load_project()
    if row is not None:
        print_row(project, row, project.names() if name is None else [name])
        return
    if name is None:
        problems = print_project(project)
        if problems:
            raise typer.Exit(complain(*problems))
        return
    project.chatbot_file(name)
    print_autogram(name)
