from __future__ import annotations

import struct
from pathlib import Path

import pytest

from autograms.errors import TrainingError
from autograms.finetuning import train_sft
from autograms.finetuning.trackers import LOGS, keep_logs, require_trackers
from autograms.settings import SftRecipe
from tests.finetuning.rows import sft_table


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the scalars of TensorBoard's files: records of a length, a checksum, an event and a checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        data, start = file.read_bytes(), 0
        while start < len(data):
            (length,) = struct.unpack_from("<Q", data, start)
            event = Event.FromString(data[start + 12 : start + 12 + length])
            start += length + 16
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_no_tracker_needs_nothing() -> None:
    require_trackers([])


def test_an_unknown_tracker_is_named() -> None:
    with pytest.raises(TrainingError, match="'tensorbord', which is no tracker; did you mean 'tensorboard'"):
        require_trackers(["tensorbord"])


def test_a_tracker_whose_package_is_missing_is_named() -> None:
    with pytest.raises(TrainingError, match="'dvclive', whose package is not installed"):
        require_trackers(["tensorboard", "dvclive"])


def test_logs_of_an_earlier_training_are_replaced(tmp_path: Path) -> None:
    keep_logs(tmp_path / "work", tmp_path / "model")
    (tmp_path / "work" / LOGS).mkdir(parents=True)
    (tmp_path / "work" / LOGS / "new").touch()
    (tmp_path / "model" / LOGS).mkdir(parents=True)
    (tmp_path / "model" / LOGS / "old").touch()
    keep_logs(tmp_path / "work", tmp_path / "model")
    assert [path.name for path in (tmp_path / "model" / LOGS).iterdir()] == ["new"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_tensorboard_gets_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    result = train_sft(sft_table(60), SftRecipe(max_steps=3, report_to=["tensorboard"]), tmp_path / "model")
    found = scalars(tmp_path / "model" / LOGS)
    recorded = [(entry["step"], entry["loss"]) for entry in result.history if "loss" in entry]
    assert found["train/loss"] == [(step, pytest.approx(loss)) for step, loss in recorded]
    assert found["eval/loss"][0] == (0, pytest.approx(result.eval_loss_before))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_missing_tracker_ends_the_training_before_it_begins(tmp_path: Path) -> None:
    events: list[dict] = []
    with pytest.raises(TrainingError, match="'dvclive', whose package is not installed"):
        train_sft(sft_table(60), SftRecipe(report_to=["dvclive"]), tmp_path / "model", on_event=events.append)
    assert [event["event"] for event in events] == ["loading", "failed"]
    assert not (tmp_path / "model").exists()
