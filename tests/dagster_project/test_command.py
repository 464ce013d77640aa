"""Dagster's own command over the project, as a process: what it leaves when it is stopped or killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.autograms_assets.projects import ScratchProject, make_project
from tests.autograms_assets.test_paying_once import CALLS, CHATBOT, SETTINGS, USERBOT
from tests.endpoint import Endpoint

ROOT = Path(__file__).parents[2]
CONVERSATIONS = 40
SELECTION = "autogram,scenarios,conversation_memories"

pytestmark = pytest.mark.long


class Command:
    """``dagster asset materialize`` over a scratch project, with the committed instance's settings."""

    def __init__(self, project: ScratchProject) -> None:
        folder = project.root.parent
        self.storage = folder / "storage"
        self.home = folder / "home"
        self.home.mkdir()
        shutil.copy(ROOT / "dagster_project" / "dagster.yaml", self.home)
        self.environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "AUTOGRAMS_PROJECT": str(project.root),
            "AUTOGRAMS_STORAGE": str(self.storage),
            "OPENAI_API_KEY": "sk-test",
        }
        self.python("-m", "dagster_project.sync").check_returncode()

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
        )

    def arguments(self, select: str = SELECTION) -> list[str]:
        chosen = ["asset", "materialize", "-m", "dagster_project", "--select", select, "--partition", "desk"]
        return ["-m", "dagster", *chosen]

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self.arguments()]
        silent = subprocess.DEVNULL
        return subprocess.Popen(
            command, env=self.environment, cwd=ROOT, stdout=silent, stderr=silent, start_new_session=True
        )


@pytest.fixture
def command(tmp_path: Path, endpoint: Endpoint) -> Command:
    project = make_project(tmp_path / "project", "desk")
    project.add("desk", CHATBOT)
    project.write("userbots/customer.py", USERBOT)
    project.write("autograms.toml", SETTINGS.format(url=endpoint.url) + "concurrency = 4\n")
    rows = [
        {"num_turns": 2, "user_kwargs": {"item": f"item {n}"}, "user_goes_first": True} for n in range(CONVERSATIONS)
    ]
    project.write("scenarios/items.json", json.dumps(rows))
    return Command(project)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def stop_midway(command: Command, endpoint: Endpoint, stop: Callable[[subprocess.Popen[bytes]], None]) -> None:
    """Start, stop after some answers, and wait until the process is gone."""
    endpoint.script(latency=0.3)
    process = command.start()
    wait_for(lambda: endpoint.stats()["answered"] >= 12)
    stop(process)
    process.wait(60)


def test_the_raw_command_runs_and_then_reuses(command: Command, endpoint: Endpoint) -> None:
    first = command.python(*command.arguments())
    assert first.returncode == 0, first.stderr[-2000:]
    assert endpoint.stats()["requests"] == CALLS * CONVERSATIONS
    again = command.python(*command.arguments())
    assert again.returncode == 0
    assert (first.stdout + first.stderr).count("reused: nothing") == 0
    assert (again.stdout + again.stderr).count("reused: nothing") == 3
    assert endpoint.stats()["requests"] == CALLS * CONVERSATIONS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_keeps_what_it_paid(command: Command, endpoint: Endpoint, number: signal.Signals) -> None:
    stop_midway(command, endpoint, lambda process: process.send_signal(number))
    answered = endpoint.stats()["answered"]
    assert answered < CALLS * CONVERSATIONS
    assert not (command.storage / "conversation_memories" / "desk.parquet").exists()
    endpoint.script(latency=0.0)
    assert command.python(*command.arguments()).returncode == 0
    assert CALLS * CONVERSATIONS - answered <= endpoint.stats()["requests"] <= CALLS * CONVERSATIONS - answered + 8


def test_a_killed_run_blocks_nothing_and_is_taken_up(command: Command, endpoint: Endpoint) -> None:
    stop_midway(command, endpoint, lambda process: os.killpg(process.pid, signal.SIGKILL))
    answered = endpoint.stats()["answered"]
    endpoint.script(latency=0.0)
    assert command.python(*command.arguments()).returncode == 0
    assert endpoint.stats()["requests"] <= CALLS * CONVERSATIONS - answered + 8


def test_a_failure_is_told_once_and_ends_with_an_error(command: Command) -> None:
    found = command.python(*command.arguments("sft_model"))
    assert found.returncode == 1
    assert "sft_dataset has nothing stored for 'desk'" in found.stdout + found.stderr
