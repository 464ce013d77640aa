"""``autograms init``: a project's folder to start from."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from autograms.errors import SettingsError

__all__ = ["init"]


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must not exist, or be empty.")],
) -> None:
    """Make a project: a chatbot, a userbot, scenarios and settings that run as they are.

    Example:

    \b
    autograms init my_project
    """
    from autograms.cli.starter import STARTER
    from autograms.conversation.atomic import replacing

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is not an empty folder; name one that does not exist yet")
    for name, text in STARTER.items():
        with replacing(folder / name) as file:
            file.write(text.encode())
    print(f"made {folder}: {', '.join(STARTER)}\n")
    print("next:")
    if os.environ.get("AUTOGRAMS_PROJECT"):
        print("  unset AUTOGRAMS_PROJECT      # it names another project")
    print(f"  cd {shlex.quote(str(folder))}")
    print("  autograms plan               # what it would take")
    print("  autograms materialize greeter")
    print("  autograms show greeter       # what came out")
    print("  autograms chat greeter       # talk to what was trained")
    print("  autograms dev                # the same in the browser")
