from __future__ import annotations

import io
import json

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


def test_other_events_name_their_values() -> None:
    assert describe({"event": "finished", "steps": 3, "history": [1]}) == "finished steps=3"


def test_a_silent_reporter() -> None:
    Reporter(None).emit("progress", step=1, max_steps=1)
