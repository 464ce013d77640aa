"""A command line to call in this process, and small programs to call it with."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from autograms.cli.main import main

CHATBOT = """
from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply_instruction
from autograms.supervisors import SupervisorReturn


def polite(instruction):
    name = extract_last_user_reply().split()[-1]
    return SupervisorReturn(f"Good day, {name}.", rejected_output=f"yo {name}", score=0.9, tags=["greeting"])


@autograms_function()
def chatbot():
    while True:
        reply_instruction("Greet the person.", supervisor=polite)
"""

USERBOT = """
from autograms import autograms_function
from autograms.functional import reply


@autograms_function()
def chatbot(name="Ada"):
    while True:
        reply(f"I am {name}")
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call a command: ``run("simulate", "--save_dir", folder)``."""

    def call(*arguments: object, only: str | None = None) -> Ended:
        status = main([str(argument) for argument in arguments], only=only)
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return call


@pytest.fixture
def chatbot(tmp_path: Path) -> Path:
    """A chatbot whose supervisor answers."""
    path = tmp_path / "greeter.py"
    path.write_text(CHATBOT)
    return path


@pytest.fixture
def userbot(tmp_path: Path) -> Path:
    """A userbot that says its name."""
    path = tmp_path / "visitor.py"
    path.write_text(USERBOT)
    return path


@pytest.fixture
def scenarios(tmp_path: Path) -> Path:
    """Twelve scenarios with a name each."""
    rows = ", ".join(
        f'{{"num_turns": 1, "user_kwargs": {{"name": "N{n}"}}, "user_goes_first": true}}' for n in range(12)
    )
    path = tmp_path / "scenarios.json"
    path.write_text(f"[{rows}]")
    return path


@pytest.fixture
def simulated(run: Run, chatbot: Path, userbot: Path, scenarios: Path, tmp_path: Path) -> Path:
    """A folder with twelve conversations."""
    folder = tmp_path / "simulation_data"
    ended = run(
        *("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--simulation_list_file", scenarios),
        *("--model", "offline/demo", "--save_dir", folder),
    )
    assert ended.status == 0, ended.err
    return folder


def assert_one_message(ended: Ended, *parts: str) -> None:
    """Check that a command refused: status 2, one message with the parts, no traceback."""
    assert ended.status == 2, (ended.out, ended.err)
    assert ended.err.startswith("error: ")
    assert ended.err.count("\nerror: ") == 0
    assert "Traceback" not in ended.err
    for part in parts:
        assert part in ended.err


@pytest.fixture
def new_project(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project as ``autograms init`` does, and go there."""
    run("init", tmp_path / "p")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "p")
    return tmp_path / "p"


class Family:
    """A process in a group of its own, and what it starts."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._members = [psutil.Process(process.pid)]

    def note(self) -> None:
        """Remember those that are there now, to find them also once their parents are gone."""
        with suppress(psutil.NoSuchProcess):
            self._members += self._members[0].children(recursive=True)


@contextmanager
def family(command: list[str], folder: Path) -> Iterator[Family]:
    """Start a command in a group of its own, with one stream of output, and leave nothing of it in the end."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    started = Family(process)
    try:
        yield started
    finally:
        started.note()
        for each in started._members:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.communicate()
