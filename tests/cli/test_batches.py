"""``autograms simulate --batch`` and ``autograms batches``: waves, an interrupt, what is left, and an end to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message
from tests.cli.test_interrupt import PROGRAM
from tests.endpoint import Endpoint


@pytest.fixture
def command(tmp_path: Path, endpoint: Endpoint) -> list[str]:
    (tmp_path / "talker.py").write_text(PROGRAM)
    (tmp_path / "keys.json").write_text('{"openai": "x"}')
    return [
        *("simulate", "--autogram_file", str(tmp_path / "talker.py"), "--num_turns", "1", "--num_examples", "5"),
        *("--save_dir", str(tmp_path / "d"), "--model", "openai/small", "--base_url", endpoint.url),
        *("--api_key_file", str(tmp_path / "keys.json"), "--batch", "--batch_poll_seconds", "0.02"),
    ]


def interrupt(command: list[str], endpoint: Endpoint) -> subprocess.CompletedProcess[str]:
    endpoint.script(batches={"looks": "never"})
    line = [sys.executable, "-m", "autograms.cli", *command]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
    while not endpoint.stats()["batches"]["calls"].get("GET batches/ID"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)  # the batch never ends: nobody has waited for it
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def test_conversations_in_waves(run: Run, command: list[str], endpoint: Endpoint, tmp_path: Path) -> None:
    ended = run(*command)
    assert ended.status == 0, ended.err
    assert [batch["requests"] for batch in endpoint.stats()["batches"]["made"]] == [5, 5, 5]
    assert sorted(path.name for path in (tmp_path / "d").iterdir() if path.suffix != ".pkl") == ["memories.parquet"]


def test_an_interrupt_leaves_the_batch_which_can_be_seen_and_cancelled(
    run: Run, command: list[str], endpoint: Endpoint, tmp_path: Path
) -> None:
    done = interrupt(command, endpoint)
    assert done.returncode == 130
    assert "1 batch goes on at the endpoint, with 5 calls; simulate again to take the answers" in done.stderr
    assert f"or cancel: autograms batches --save_dir {tmp_path / 'd'} --cancel --base_url {endpoint.url}" in done.stderr
    assert "Traceback" not in done.stderr
    shown = run("batches", "--save_dir", tmp_path / "d")
    assert shown.out == f"batch-1: 5 calls of small at {endpoint.url}\n"
    cancel = ("batches", "--save_dir", tmp_path / "d", "--cancel", "--api_key_file", tmp_path / "keys.json")
    assert "0 of 1 cancelled\nbatches at other endpoints" in run(*cancel).out
    assert endpoint.stats()["batches"]["made"][0]["status"] == "in_progress"
    assert run(*cancel, "--base_url", endpoint.url).out.endswith("1 of 1 cancelled\n")
    assert endpoint.stats()["batches"]["made"][0]["status"] == "cancelling"


def test_an_endpoint_without_batches_is_one_message(run: Run, command: list[str], endpoint: Endpoint) -> None:
    endpoint.script(batches={"missing": 404})
    assert_one_message(run(*command), endpoint.url, "has no batch API", "--batch")


def test_nothing_is_under_way(run: Run, tmp_path: Path) -> None:
    assert run("batches", "--save_dir", tmp_path).out == f"no batches under way in {tmp_path}\n"
    assert_one_message(run("batches"), "name an autogram")


def test_the_batches_of_a_project(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chatbots").mkdir()
    (tmp_path / "chatbots" / "desk.py").write_text(PROGRAM)
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path))
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "storage"))
    place = tmp_path / "storage" / ".work" / "conversation_memories" / "desk"
    assert run("batches", "desk").out == f"no batches under way in {place}\n"
    (place / "calls.batches").mkdir(parents=True)
    flight = '{"mark": "m", "endpoint": "http://x/v1", "model": "small", "requests": ["a-0"], "batch": null}'
    (place / "calls.batches" / "m.json").write_text(flight)
    assert run("batches", "desk").out == "not yet made: 1 call of small at http://x/v1\n"
