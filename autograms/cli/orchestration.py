"""Calling Dagster's own command from ours: its home, its environment, its exit status.

Dagster is never imported here, so that the command line starts fast and ``autograms`` runs without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from autograms.cli.run_log import RunLog

__all__ = ["ASSETS", "MODULE", "environment", "run_module", "storage_root"]

MODULE = "dagster_project"

ASSETS = (
    "autogram",
    "scenarios",
    "conversation_memories",
    "sft_dataset",
    "dpo_dataset",
    "sft_model",
    "dpo_model",
    "evaluation",
    "leaderboard",
)
"""The chain, in order."""


_INSTANCE = """# Dagster's instance; what may stand here: https://docs.dagster.io/deployment/oss/oss-instance-configuration
telemetry:
  enabled: false
"""


def environment(project: Path) -> dict[str, str]:
    """Return the environment for Dagster: the project, and ``DAGSTER_HOME`` in ``.dagster`` here where it is unset."""
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given or ".dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    if given is None and not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").write_text(_INSTANCE, encoding="utf-8")
    return {**os.environ, "DAGSTER_HOME": str(home), "AUTOGRAMS_PROJECT": str(project)}


def run_module(arguments: Sequence[str], project: Path, *, log: RunLog | None = None) -> int:
    """Run ``python -m ARGUMENTS`` for a project and wait for it, also when it is interrupted.

    Args:
        arguments: The module and its arguments.
        project: The project's folder.
        log: Tells its output shortly; it goes where ours goes where unset.

    Returns:
        Its exit status; 130 where it was interrupted.
    """
    command = [sys.executable, "-m", *arguments]
    interrupted = False
    with subprocess.Popen(
        command,
        env=environment(project),
        stdout=None if log is None else subprocess.PIPE,
        stderr=None if log is None else subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        while True:
            try:
                if log is not None and process.stdout is not None:
                    log.feed(process.stdout)
                status = process.wait()
                break
            except KeyboardInterrupt:  # the terminal sent it to the process too, which now stops cleanly
                interrupted = True
    if interrupted:
        return 130
    return status if log is None else log.close(status)


def storage_root() -> Path:
    """Return the folder of the results: ``$AUTOGRAMS_STORAGE`` or ``storage`` here."""
    return Path(os.environ.get("AUTOGRAMS_STORAGE") or "storage")
