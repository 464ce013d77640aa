"""``autograms graph``: a program's flow, as Mermaid or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["graph"]


def graph(
    autogram_file: Annotated[Path, typer.Argument(metavar="FILE", help="The program.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write: .svg for a picture, anything else for Mermaid.")
    ] = None,
) -> None:
    """Show a program's flow: what it says, asks and decides, its calls, loops and jumps. Nothing is run.

    Without --output, Mermaid text is printed, which GitHub and many editors show as a chart.

    Example:

    \b
    autograms graph examples/chatbots/support_desk.py --output support_desk.svg
    """
    from autograms.conversation.atomic import replacing
    from autograms.program.flow import program_graph

    made = program_graph(autogram_file)
    if output is None:
        typer.echo(made.mermaid(), nl=False)
        return
    with replacing(output) as file:
        file.write((made.svg() if output.suffix == ".svg" else made.mermaid()).encode())
    typer.echo(f"wrote {output}: {len(made.nodes)} places in {len(made.functions)} functions")
