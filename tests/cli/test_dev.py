"""``autograms dev``: one UI over one home, and nothing left behind it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograms.cli.commands.dev import alone
from tests.cli.conftest import Run, assert_one_message, family


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_second_one_names_the_first(run: Run, new_project: Path) -> None:
    (new_project / ".dagster").mkdir()
    with alone(new_project / ".dagster", "http://127.0.0.1:4321"):
        for port in ("4321", "4322"):
            ended = run("dev", "--port", port)
            assert_one_message(ended, "http://127.0.0.1:4321", str(new_project / ".dagster"), "Ctrl-C")


def test_a_port_that_is_taken_is_one_message(run: Run, new_project: Path) -> None:
    with listening() as port:
        assert_one_message(run("dev", "--port", port), f"http://127.0.0.1:{port}", f"--port {port + 1}")
        assert_one_message(run("dev", "--port", port), "in use")  # the first one holds nothing any more


def test_no_project_starts_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_message(run("dev"), "no project", "autograms init")
    assert not (tmp_path / ".dagster").exists()


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)])
def test_it_serves_and_stops_quietly(new_project: Path, number: int, send: Callable[[int, int], None]) -> None:
    with listening() as port:
        pass
    command = [sys.executable, "-m", "autograms.cli", "dev", "--port", str(port)]
    with family(command, new_project) as found:
        process = found.process
        while not answers(f"http://127.0.0.1:{port}/server_info"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        found.note()
        send(process.pid, number)
        out, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    assert "partitions: greeter" in out
    assert f"Dagster's UI over {new_project}: http://127.0.0.1:{port} " in out
    for part in ("Traceback", "SupersessionWarning", "Shutting down", "ERROR"):
        assert part not in out
    assert not answers(f"http://127.0.0.1:{port}/server_info")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
