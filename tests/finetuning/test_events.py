from __future__ import annotations

import io
import json
from typing import Any

import pytest

from autograms.finetuning.events import Reporter, describe


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, line: str) -> None:
        self.lines.append(line)


def test_events_go_to_the_lines_and_to_the_log() -> None:
    lines, log = io.StringIO(), Log()
    Reporter(lines, log).emit("progress", step=3, max_steps=10, loss=0.5, tokens_per_second=1234.0, eta_seconds=7.2)
    assert json.loads(lines.getvalue()) == {
        "event": "progress",
        "step": 3,
        "max_steps": 10,
        "loss": 0.5,
        "tokens_per_second": 1234.0,
        "eta_seconds": 7.2,
    }
    assert log.lines == ["step 3/10 | loss 0.5000 | 1,234 tokens/s | 7 s left"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"event": "loading", "kind": "sft", "base": "tiny"}, "loading tiny for SFT"),
        (
            {
                "event": "tokens",
                "rows": 6,
                "trained": 5,
                "held_out": 1,
                "tokens": 1900,
                "loss_tokens": 6,
                "longest": 38,
            },
            "5 of 6 rows train, 1 are held out | 1,900 tokens, 6 with loss | longest 38",
        ),
        ({"event": "training", "max_steps": 10, "first_step": 0}, "training: 10 steps"),
        ({"event": "training", "max_steps": 10, "first_step": 4}, "training: 10 steps, on from step 4"),
        ({"event": "progress", "step": 1, "max_steps": 2, "eval_loss": 0.5}, "step 1/2 | held-out loss 0.5000"),
        (
            {"event": "finished", "steps": 10, "seconds": 1.26, "eval_loss": 0.5, "eval_logps/chosen": -62.4},
            "finished 10 steps in 1.3 s | held-out loss 0.5000",
        ),
        ({"event": "progress", "step": 1, "max_steps": 2, "reward_accuracy": 1.0}, "step 1/2 | reward accuracy 1.0000"),
        (
            {"event": "finished", "steps": 1, "seconds": 1.0, "eval_rewards/accuracies": 0.5},
            "finished 1 steps in 1.0 s | held-out reward accuracy 0.5000",
        ),
        ({"event": "stopped", "signal": 2, "history": [1]}, "stopped signal=2"),
    ],
)
def test_an_event_is_one_line(event: dict[str, Any], line: str) -> None:
    assert describe(event) == line


def test_a_silent_reporter() -> None:
    Reporter(None).emit("progress", step=1, max_steps=1)
