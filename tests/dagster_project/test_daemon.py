"""The automation conditions under Dagster's own daemon: a real process that looks at a real project's files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from tests.autograms_assets.projects import ScratchProject, make_project
from tests.browser.served import make_home, stop
from tests.dagster_project.test_conditions import CHAIN

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

_REPOSITORY = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_WORKSPACE = ("-w", "workspace.yaml")
_PATIENCE = 1200.0
"""Seconds that the daemon may take to run a few chains on a busy machine."""
_FAILURES = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}


@dataclass(frozen=True)
class Live:
    """A running daemon, and what it ran."""

    instance: dg.DagsterInstance
    process: subprocess.Popen[bytes]
    log: Path

    def requested(self) -> list[str]:
        """Return the partitions of the chains that were requested, in order."""
        runs = reversed(self.instance.get_runs())
        return [run.tags["dagster/partition"] for run in runs if "dagster/partition" in run.tags]

    def wait_for(self, *partitions: str) -> None:
        """Wait until just these chains were requested, in any order, and every run has succeeded."""
        deadline = time.monotonic() + _PATIENCE
        while len(self.requested()) < len(partitions) or not self._idle():
            said = self.log.read_text()[-4000:]
            assert self.process.poll() is None, f"the daemon ended: {said}"
            assert time.monotonic() < deadline, f"{self.requested()} after {_PATIENCE} s: {said}"
            time.sleep(1.0)
        assert sorted(self.requested()) == sorted(partitions)
        failed = [run.run_id for run in self.instance.get_runs() if not run.is_success]
        assert not failed, [
            record.dagster_event.message
            for run_id in failed
            for record in self.instance.all_logs(run_id, of_type=_FAILURES)
        ]

    def _idle(self) -> bool:
        return all(run.is_finished for run in self.instance.get_runs())

    def made(self, partition: str) -> set[str]:
        """Return the assets that the last chain of a partition made and did not reuse."""
        run = next(run for run in self.instance.get_runs() if run.tags.get("dagster/partition") == partition)
        records = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        events = [record.asset_materialization for record in records]
        assert {event.asset_key.to_user_string() for event in events if event} == CHAIN
        return {event.asset_key.to_user_string() for event in events if event and not event.metadata["reused"].value}


@contextmanager
def daemon(home: Path, project: ScratchProject) -> Iterator[Live]:
    """Register the project's autograms, switch the conditions on, and run the daemon."""
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "AUTOGRAMS_PROJECT": str(project.root),
        "AUTOGRAMS_STORAGE": str(project.root.parent / "storage"),
    }
    for command in (
        [sys.executable, "-m", "dagster_project.sync"],
        [str(_BIN / "dagster"), "sensor", "start", "autogram_conditions", *_WORKSPACE],
    ):
        subprocess.run(command, cwd=_REPOSITORY, env=environment, check=True, capture_output=True)
    log = home / "daemon.log"
    with log.open("wb") as output, dg.DagsterInstance.from_config(str(home)) as instance:
        process = subprocess.Popen(
            [str(_BIN / "dagster-daemon"), "run", *_WORKSPACE],
            cwd=_REPOSITORY,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield Live(instance, process, log)
        finally:
            stop(process)


def test_the_daemon_runs_what_edits_made_stale_and_nothing_else(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", "desk", "kiosk")
    project.add("broken", "def chatbot(:")
    with daemon(make_home(tmp_path / "home"), project) as live:
        live.wait_for("desk", "kiosk")
        assert live.made("desk") == CHAIN

        project.edit("chatbots/desk.py", "def formal", "# why\ndef formal")
        project.edit("chatbots/kiosk.py", "we noted", "we wrote down")
        live.wait_for("desk", "kiosk", "kiosk")
        assert live.made("kiosk") == CHAIN - {"scenarios"}

        project.edit("chatbots/_wording.py", "Dear", "Esteemed")
        live.wait_for("desk", "kiosk", "kiosk", "desk", "kiosk")
        assert live.made("desk") == CHAIN - {"scenarios"}

        project.add("desk", "def chatbot(:")
        project.edit("autograms.toml", "[defaults.dpo]", "[defaults.dpo]\nbeta = 0.3")
        live.wait_for("desk", "kiosk", "kiosk", "desk", "kiosk", "kiosk")
        assert live.made("kiosk") == {"dpo_model", "evaluation"}
        said = live.log.read_text()
        assert said.count("chatbots/broken.py:1: invalid syntax") == 1
        assert said.count("chatbots/desk.py:1: invalid syntax") == 1
