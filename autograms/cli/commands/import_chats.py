"""``autograms import``: conversations that happened elsewhere, as a folder of conversations."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["import_chats"]


class Learned(StrEnum):
    """Which assistant messages are to be learned."""

    all = "all"
    last = "last"


def import_chats(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, or a JSON list, of conversations.")],
    save_dir: Annotated[Path, typer.Option("--save_dir", help="Folder for the conversations.")] = Path(
        "simulation_data"
    ),
    name: Annotated[
        str | None, typer.Option("--name", help="Stands in place of an autogram's name; the file's stem where unset.")
    ] = None,
    answers: Annotated[
        Learned,
        typer.Option("--answers", help="Assistant messages to learn, where none has a weight: all, or the last."),
    ] = Learned.all,
    allow_overwrite: Annotated[bool, typer.Option("--allow_overwrite", help="Replace results in the folder.")] = False,
) -> None:
    """Import conversations that happened elsewhere: chat files of OpenAI, ShareGPT and TRL, with preferences too.

    A file is imported whole; a line that is none of these is named, and nothing is written. Go on with
    autograms dataset.

    Example:

    \b
    autograms import chats.jsonl --save_dir imported
    autograms dataset --save_dir imported
    """
    from autograms.cli.results import TABLE, refuse_results
    from autograms.conversation.elsewhere import read_chats
    from autograms.conversation.parquet import write_memories

    refuse_results(save_dir, allow_overwrite=allow_overwrite)
    imported = read_chats(file, name=name, answers=answers.value)
    write_memories(save_dir / TABLE, imported.memories)
    for path in save_dir.glob("example[0-9]*.pkl"):
        path.unlink()
    for key, count in sorted(imported.ignored.items()):
        print(f"ignored the field {key!r} of {count} conversations")
    print(f"imported {len(imported.memories)} conversations with {imported.answers} answers to learn into {save_dir}")
