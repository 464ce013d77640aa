"""Runs whose process is gone: noticed, ended, and made again, so that they hold nobody up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.processes import WatchingRunLauncher, is_gone, living
from tests.autograms_assets.projects import BRIEF_TRAINING, ScratchProject, make_project
from tests.autograms_assets.test_paying_once import CALLS, CHATBOT, SETTINGS, USERBOT
from tests.browser.served import make_home
from tests.dagster_project.test_daemon import daemon
from tests.endpoint import Endpoint

ROOT = Path(__file__).parents[2]
HOLDING = """
import sys, time
from pathlib import Path
from dagster_project.processes import living

with living(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
CONVERSATIONS = 40
_PATIENCE = 600.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in {_PATIENCE:.0f} s: {what}"
        time.sleep(0.2)


def test_a_run_that_never_began_or_ended_by_itself_is_not_gone(tmp_path: Path) -> None:
    assert not is_gone(tmp_path / "never")
    with living(tmp_path):
        assert not is_gone(tmp_path)
    assert not is_gone(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_is_not_gone(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), living(tmp_path):
        raise RuntimeError
    assert not is_gone(tmp_path)


def test_a_killed_process_is_gone_and_dagster_is_told(tmp_path: Path) -> None:
    with dg.DagsterInstance.from_config(str(make_home(tmp_path / "home"))) as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, WatchingRunLauncher)
        run = dg.DagsterRun("autogram_chain", run_id="a-run")
        folder = Path(instance.storage_directory()) / run.run_id
        command = [sys.executable, "-c", HOLDING, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "held\n"
                assert launcher.check_run_worker_health(run).status.value == "RUNNING"
            finally:
                process.kill()
        assert is_gone(folder)
        assert launcher.check_run_worker_health(run).status.value == "NOT_FOUND"


def project_at(endpoint: Endpoint, root: Path) -> ScratchProject:
    """Return a project whose ``desk`` asks the endpoint, slowly."""
    project = make_project(root)
    project.add("desk", CHATBOT)
    project.write("userbots/customer.py", USERBOT)
    project.write("autograms.toml", f"{SETTINGS.format(url=endpoint.url)}concurrency = 4\n{BRIEF_TRAINING}")
    rows = [
        {"num_turns": 2, "user_kwargs": {"item": f"item {n}"}, "user_goes_first": True} for n in range(CONVERSATIONS)
    ]
    project.write("scenarios/items.json", json.dumps(rows))
    endpoint.script(latency=0.3)
    return project


def step_process(instance: dg.DagsterInstance, step: str) -> int:
    """Return the id of the process that makes a step."""
    run = next(run for run in instance.get_runs() if not run.is_finished)
    records = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_WORKER_STARTED)
    event = next(record.dagster_event for record in records if record.step_key == step)
    assert event is not None
    return int(event.engine_event_data.metadata["pid"].value)  # type: ignore[arg-type]


@pytest.mark.long
@pytest.mark.timeout(1300)
def test_a_killed_step_is_made_again_and_pays_nothing_twice(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with daemon(make_home(tmp_path / "home"), project_at(endpoint, tmp_path / "project")) as live:
        until(lambda: endpoint.stats()["answered"] >= 12, "some answers")
        os.kill(step_process(live.instance, "conversation_memories"), signal.SIGKILL)
        until(lambda: [run.is_success for run in live.instance.get_runs()][-2:] == [True, False], "a second run")
        second, first = list(live.instance.get_runs())[-2:]
        assert second.parent_run_id == first.run_id
    stats = endpoint.stats()
    assert stats["answered"] <= CALLS * CONVERSATIONS + 4
    assert stats["requests"] <= CALLS * CONVERSATIONS + 8


@pytest.mark.long
@pytest.mark.timeout(1300)
def test_a_run_of_the_terminal_that_was_killed_holds_no_other_up(tmp_path: Path) -> None:
    project, home = make_project(tmp_path / "project", "desk"), make_home(tmp_path / "home")
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "AUTOGRAMS_PROJECT": str(project.root),
        "AUTOGRAMS_STORAGE": str(tmp_path / "storage"),
    }
    arguments = ["asset", "materialize", "-m", "dagster_project", "--select", "*", "--partition", "desk"]
    subprocess.run([sys.executable, "-m", "dagster_project.sync"], env=environment, cwd=ROOT, check=True)
    killed = subprocess.Popen(
        [sys.executable, "-m", "dagster", *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: bool(list(home.glob("storage/*/process.lock"))), "the run's process")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    with daemon(home, project) as live:
        until(lambda: [run.is_success for run in live.instance.get_runs()][-2:] == [True, False], "a second run")
        assert list(live.instance.get_runs())[-1].status == dg.DagsterRunStatus.FAILURE
