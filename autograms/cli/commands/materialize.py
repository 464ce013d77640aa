"""``autograms materialize``: the chain of assets for one autogram, through Dagster's own command."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from autograms.errors import SettingsError, nearest

if TYPE_CHECKING:
    from autograms.settings import Project

__all__ = ["materialize"]

_KEPT = "; what is finished is kept: run the same command again, and it goes on"


def materialize(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The autogram: the stem of its file in chatbots/.")],
    select: Annotated[
        str, typer.Option("--select", help="Dagster's asset selection: a name, 'sft_model+', '*' for the whole chain.")
    ] = "*",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Dagster's log as it is.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Make the named assets again, whatever is stored.")] = False,
) -> None:
    """Materialize an autogram's assets: simulate, build datasets, finetune, evaluate. What is not stale is reused.

    The project is $AUTOGRAMS_PROJECT, else that of the current folder. Registers the partition first. Results go to
    $AUTOGRAMS_STORAGE, or storage, Dagster's state to $DAGSTER_HOME, or .dagster: in the project's folder where the
    current one belongs to it.

    Example:

    \b
    autograms materialize support_desk
    autograms materialize support_desk --select dpo_model --force
    """
    from autograms.cli.orchestration import MODULE, run_module
    from autograms.cli.run_log import RunLog
    from autograms.settings import load_project

    project = load_project()
    _check(project, name)
    arguments = ["dagster", "asset", "materialize", "-m", MODULE, "--select", select, "--partition", name]
    if force:
        arguments += ["--config-json", _forced(select)]
    started = time.monotonic()
    status = run_module([f"{MODULE}.sync", name], kept=_KEPT)
    if not status and verbose:
        status = run_module(arguments, kept=_KEPT)
    elif not status:
        log = RunLog()
        status = log.close(run_module(arguments, feed=log.feed, kept=_KEPT))
        if "conversation_memories" in log.failed:
            _tell_failures(name)
    if not status:
        print(f"done in {time.monotonic() - started:.0f} s; autograms show {name} tells what came out")
    raise typer.Exit(status)


def _tell_failures(name: str) -> None:
    """Say why conversations failed: what they said is stored, and never in Dagster's log."""
    from autograms.cli.orchestration import storage_root
    from autograms.cli.overview import failures

    for failing in failures(storage_root(), name):
        print(f"{failing.count} failed: {failing.told()}", file=sys.stderr)


def _check(project: Project, name: str) -> None:
    """Find what is wrong with an autogram's files before a run is started for it."""
    from autograms.autogram import load_autogram
    from autograms.simulation.project import scenarios_of

    chatbot = project.chatbot_file(name)
    settings = project.settings(name)
    userbot = project.userbot_file(settings)
    load_autogram(chatbot)
    if userbot is not None:
        load_autogram(userbot)
    scenarios_of(project, settings)


def _forced(select: str) -> str:
    from autograms.cli.orchestration import ASSETS

    names = ASSETS if select.strip() == "*" else [part.strip() for part in select.split(",")]
    for name in names:
        if name not in ASSETS:
            raise SettingsError(
                f"--force takes asset names, or '*'; it cannot take {name!r}{nearest(name, ASSETS)} "
                f"(assets: {', '.join(ASSETS)})"
            )
    return json.dumps({"ops": {name: {"config": {"force": True}} for name in names}})
