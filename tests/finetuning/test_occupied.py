"""A job's folder is taken up only when the worker before has left it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograms.errors import TrainingError
from autograms.finetuning import prepare_job
from autograms.finetuning.job import Job
from autograms.finetuning.occupied import occupying, wait_until_left
from autograms.settings import SftRecipe
from tests.finetuning.rows import sft_table

WORKER = """
import sys
from pathlib import Path
from autograms.finetuning.occupied import occupying

work = Path(sys.argv[1])
with occupying(work):
    print("there", flush=True)
    sys.stdin.readline()
    checkpoint = work / "checkpoints" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
"""


@contextmanager
def stopping_worker(work: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker that writes its last checkpoint once it is told to."""
    command = [sys.executable, "-c", WORKER, str(work)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        yield process
        process.communicate("\n")


def prepared(folder: Path) -> Job:
    return prepare_job("sft", sft_table(40), SftRecipe(max_steps=9), folder / "model")


def test_the_next_run_waits_for_the_last_checkpoint_and_goes_on_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopping_worker(prepared(tmp_path).spec.work) as worker:
        assert worker.stdin is not None
        tell = worker.stdin

        def told(message: str, **_: object) -> None:
            assert "waiting for it" in message
            print(file=tell, flush=True)

        monkeypatch.setattr("warnings.warn", told)
        last = prepared(tmp_path).spec.last_checkpoint()
    assert last is not None
    assert last.name == "checkpoint-7"


def test_a_worker_that_does_not_leave_is_named(tmp_path: Path) -> None:
    with (
        occupying(tmp_path),
        pytest.warns(UserWarning, match="waiting"),
        pytest.raises(TrainingError, match="still at work in"),
    ):
        wait_until_left(tmp_path, patience=0.0)


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    wait_until_left(tmp_path)
    with occupying(tmp_path):
        pass
    wait_until_left(tmp_path, patience=0.0)
