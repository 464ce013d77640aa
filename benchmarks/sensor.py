"""What the sensor takes to look at many autograms: ``python -m benchmarks.sensor [--autograms 500]``.

It is evaluated as Dagster's daemon does it, over a scratch project, in this process. What does not belong here: the
runs that it asks for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from tests.autograms_assets.projects import ScratchProject, make_project
from tests.dagster_project.test_sensors import Daemon

__all__ = ["main"]

_EDITS: dict[str, Callable[[ScratchProject], object]] = {
    "nothing": lambda project: None,
    "one autogram": lambda project: project.edit("chatbots/desk7.py", "formally", "briefly"),
    "a module that all import": lambda project: project.edit("chatbots/_wording.py", "Dear", "Esteemed"),
    "the settings of all": lambda project: project.edit("autograms.toml", "max_steps = 2", "max_steps = 3"),
}


def measure(daemon: Daemon, changed: str) -> str:
    """Let the sensor look once, and return a row of the table."""
    wall, cpu = time.perf_counter(), time.process_time()
    runs = len(daemon.runs())
    return f"| {changed} | {runs} | {time.process_time() - cpu:.2f} | {time.perf_counter() - wall:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autograms", type=int, default=500)
    count: int = parser.parse_args().autograms
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        project = make_project(Path(folder) / "project", *(f"desk{number}" for number in range(count)))
        daemon = Daemon(project, instance)
        print("| changed since | runs | CPU s | wall s |\n| --- | --- | --- | --- |")
        print(measure(daemon, "never seen before"))
        for changed, edit in _EDITS.items():
            edit(project)
            print(measure(daemon, changed))


if __name__ == "__main__":
    main()
