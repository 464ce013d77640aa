"""Ctrl-C in a simulation, or a termination: every finished call and step is kept, and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.endpoint import Endpoint

PROGRAM = """
from autograms import autograms_function
from autograms.functional import reply_instruction


@autograms_function()
def chatbot():
    while True:
        reply_instruction("Say something.")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_simulation_goes_on(tmp_path: Path, endpoint: Endpoint, number: signal.Signals) -> None:
    endpoint.script(latency=0.05)
    (tmp_path / "talker.py").write_text(PROGRAM)
    (tmp_path / "keys.json").write_text('{"openai": "x"}')
    command = [
        *(sys.executable, "-m", "autograms.cli", "simulate", "--autogram_file", "talker.py", "--num_turns", "3"),
        *("--num_examples", "20", "--concurrency", "2", "--save_dir", "d", "--model", "openai/small"),
        *("--base_url", endpoint.url, "--api_key_file", "keys.json"),
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ})
    journal = tmp_path / "d" / "calls.journal"
    while not (journal.exists() and len(journal.read_bytes().splitlines()) >= 10):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "goes on from there\ninterrupted\n" in errors
    assert "Traceback" not in errors
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["calls.journal"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    needed, in_flight = 20 * 7, 2
    assert endpoint.stats()["requests"] <= needed + in_flight
    assert not journal.exists()
    assert len(list((tmp_path / "d").glob("example*.pkl"))) == 20


def test_the_kept_calls_are_whole_lines(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.script(latency=0.05)
    (tmp_path / "talker.py").write_text(PROGRAM)
    (tmp_path / "keys.json").write_text('{"openai": "x"}')
    command = [
        *(sys.executable, "-m", "autograms.cli", "simulate", "--autogram_file", "talker.py", "--num_examples", "20"),
        *("--concurrency", "2", "--save_dir", "d", "--model", "openai/small", "--base_url", endpoint.url),
        *("--api_key_file", "keys.json"),
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = tmp_path / "d" / "calls.journal"
    while not journal.exists():
        time.sleep(0.02)
    process.kill()
    process.wait(timeout=20)
    assert all("request" in json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1])


TERMINATED = [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)]
CLOSING = "interrupted; what is finished is kept: run the same command again, and it goes on"
SETTINGS = """
[defaults]
model = "openai/small"
base_url = "{url}"
num_examples = 40
concurrency = 2

[defaults.sft]
max_steps = 6000
save_steps = 5000
"""


class Materializing:
    """``autograms materialize`` in a project, as a process of its own group, and what is left of it."""

    def __init__(self, project: Path, url: str) -> None:
        (project / "chatbots").mkdir(parents=True)
        (project / "chatbots/talker.py").write_text(PROGRAM)
        (project / "autograms.toml").write_text(SETTINGS.format(url=url))
        self.project = project

    def start(self, select: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "autograms.cli", "materialize", "talker", "--select", select]
        environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
        return subprocess.Popen(
            command,
            cwd=self.project,
            env=environment | {"OPENAI_API_KEY": "x"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def left(self) -> list[str]:
        """Return the commands of the processes that have to do with the project."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if str(self.project).encode() in (process / "environ").read_bytes():
                    found.append(command)
            except OSError:  # it ended, or is another's
                continue
        return found


@pytest.fixture
def materializing(tmp_path: Path, endpoint: Endpoint) -> Materializing:
    return Materializing(tmp_path / "mine", endpoint.url)


def read_until(process: subprocess.Popen[str], part: str) -> str:
    """Read what a process says until a line with the part, which is returned."""
    assert process.stdout is not None
    for line in process.stdout:
        if part in line:
            return line
    raise AssertionError(process.communicate())


def assert_closed(process: subprocess.Popen[str], errors: str, number: int) -> None:
    """Check that a signal ended a command with one closing line, behind one that asks to wait where that takes long."""
    assert process.returncode == 128 + number
    first, *rest = errors.splitlines()[::-1]
    assert first == CLOSING
    assert [line.split(":")[0] for line in rest] in ([], ["stopping"])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "send"), TERMINATED)
def test_an_interrupted_materialization_keeps_calls_and_steps(
    materializing: Materializing, endpoint: Endpoint, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    endpoint.script(latency=0.2)
    process = materializing.start("*conversation_memories")
    read_until(process, "paid")
    send(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert_closed(process, errors, number)
    assert materializing.left() == []
    answered = endpoint.stats()["answered"]
    assert answered > 0

    endpoint.script(latency=0.0)
    process = materializing.start("*sft_model")
    read_until(process, "step 60/")
    waiting = materializing.start("sft_model")  # while the first one is at work, and then stops
    read_until(waiting, "another run is making this")
    send(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert_closed(process, errors, number)
    checkpoint = read_until(waiting, "from checkpoint-").split("checkpoint-")[-1]
    assert int(checkpoint) >= 60
    send(waiting.pid, number)
    _, errors = waiting.communicate(timeout=120)
    assert_closed(waiting, errors, number)
    assert materializing.left() == []
