"""Ctrl-C in a simulation: status 130, and every finished call is kept and never paid again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.endpoint import Endpoint

PROGRAM = """
from autograms import autograms_function
from autograms.functional import reply_instruction


@autograms_function()
def chatbot():
    while True:
        reply_instruction("Say something.")
"""


def test_an_interrupted_simulation_goes_on(tmp_path: Path, endpoint: Endpoint) -> None:
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
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert process.returncode == 130
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
