"""A command that runs a process and is told to stop: the process stops too, once, and one line says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograms.cli.main import COMMANDS, main
from autograms.cli.processes import Interrupted, run_process
from tests.cli.conftest import family

COMMAND = """
import os, sys
from autograms.cli.processes import Interrupted, run_process

def feed(lines):
    for line in lines:
        print("told:", line, end="", flush=True)

try:
    status = run_process([sys.executable, "-c", sys.argv[1]], os.environ, feed=feed, kept="; all is kept")
except Interrupted as stop:
    print(stop)
    sys.exit(stop.status)
sys.exit(status)
"""

STOPS = """
import signal, sys, time

def stop(number, frame):
    print("a traceback", flush=True)
    time.sleep(0.5)  # a second signal would be counted by then
    counted.append(number)

counted = []
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
print("running", flush=True)
while not counted:
    time.sleep(0.05)
open("counted", "w").write(str(counted))
sys.exit(1)
"""

NEVER_STOPS = """
import signal, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("running", flush=True)
while True:
    time.sleep(1)
"""


LEAVES_ONE_BEHIND = """
import os, subprocess, sys

left = "import os, time\\nwhile os.getppid() == int(__import__('sys').argv[1]): time.sleep(0.05)\\n"
left += "print('left', flush=True)\\ntime.sleep(1000)"
subprocess.Popen([sys.executable, "-c", left, str(os.getpid())])
print("running", flush=True)
sys.exit(1)
"""


@contextmanager
def started(program: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a group of its own, wait until its process runs, and leave nothing of it in the end."""
    with family([sys.executable, "-c", COMMAND, program], folder) as found:
        assert found.process.stdout is not None
        assert found.process.stdout.readline() == "told: running\n"
        found.note()
        yield found.process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("group", [True, False])
def test_a_signal_to_the_command_or_its_group_stops_all_of_it_once(
    tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    with started(STOPS, tmp_path) as process:
        (os.killpg if group else os.kill)(process.pid, number)
        os.kill(process.pid, number)  # some send it twice
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "interrupted; all is kept\n")
    assert (tmp_path / "counted").read_text() == "[15]"


@pytest.mark.long
def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    with started(NEVER_STOPS, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)  # far beyond the time within which a second signal says no more than the first
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)  # which ends when no process has the pipe any more
    assert (process.returncode, out) == (130, "interrupted; all is kept\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_what_a_process_has_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    with started(LEAVES_ONE_BEHIND, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "told: left\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "interrupted; all is kept\n")


def test_ignored_signals_are_ignored_and_not_handed_on(tmp_path: Path) -> None:
    program = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{COMMAND}"
    command = [sys.executable, "-c", ignoring, program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "told: True\n")


def test_the_status_is_passed_on_and_the_signals_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run_process([sys.executable, "-c", "import sys; sys.exit(7)"], os.environ) == 7
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_where_nobody_listens_the_process_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(lines: Iterable[str]) -> None:
        assert next(iter(lines)) == "running\n"
        raise BrokenPipeError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrokenPipeError):
        run_process([sys.executable, "-c", STOPS], os.environ, feed=feed)
    assert (tmp_path / "counted").read_text() == "[15]"


def test_what_an_interrupt_says() -> None:
    assert (str(Interrupted(signal.SIGTERM)), Interrupted(signal.SIGTERM).status) == ("interrupted", 143)


def test_a_command_that_is_interrupted_says_so_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise Interrupted(signal.SIGINT, "; all is kept")

    monkeypatch.setitem(COMMANDS, "sync", (interrupted, ""))
    assert main(["sync"]) == 130
    assert capsys.readouterr().err == "interrupted; all is kept\n"
