"""What a worker says while it trains: one JSON object a line on its output, and lines in a Dagster run's log.

No prompt and no answer is ever part of an event. What does not belong here: deciding what to say when.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["Reporter", "describe", "reporting"]


class Reporter:
    """Where events go. Only the first of several processes has one that speaks.

    Args:
        lines: Where JSON lines are written, ``None`` for nowhere.
        log: A run's log with an ``info`` method, ``None`` for none.
    """

    def __init__(self, lines: TextIO | None, log: Any = None) -> None:
        self._lines = lines
        self._log = log

    def emit(self, event: str, **values: Any) -> None:
        """Say one thing."""
        record = {"event": event, **values}
        if self._lines is not None:
            print(json.dumps(record), file=self._lines, flush=True)
        if self._log is not None:
            self._log.info(describe(record))


def describe(event: dict[str, Any]) -> str:
    """Return an event as one readable line."""
    words = _WORDS.get(event["event"])
    if words is not None:
        return words(event)
    details = " ".join(f"{key}={value}" for key, value in event.items() if key != "event" and _short(value))
    return f"{event['event']} {details}".strip()


def _loading(event: dict[str, Any]) -> str:
    return f"loading {event['base']} for {event['kind'].upper()}"


def _tokens(event: dict[str, Any]) -> str:
    parts = [
        f"{event['trained']:,} of {event['rows']:,} rows train, {event['held_out']:,} are held out",
        f"{event['tokens']:,} tokens, {event['loss_tokens']:,} with loss",
        f"longest {event['longest']:,}",
    ]
    if event.get("tokens_lost"):
        parts.append(f"{event['tokens_lost']:,} tokens lost to the model's length")
    return " | ".join(parts)


def _training(event: dict[str, Any]) -> str:
    first = f", on from step {event['first_step']}" if event["first_step"] else ""
    return f"training: {event['max_steps']} steps{first}"


def _progress(event: dict[str, Any]) -> str:
    parts = [f"step {event['step']}/{event['max_steps']}"]
    for key in ("loss", "eval_loss", "margin", "reward_accuracy"):
        if event.get(key) is not None:
            parts.append(f"{_NAMES.get(key, key)} {event[key]:.4f}")
    if event.get("tokens_per_second"):
        parts.append(f"{event['tokens_per_second']:,.0f} tokens/s")
    if event.get("eta_seconds") is not None:
        parts.append(f"{event['eta_seconds']:.0f} s left")
    return " | ".join(parts)


def _finished(event: dict[str, Any]) -> str:
    parts = [f"finished {event['steps']} steps in {event['seconds']:.1f} s"]
    parts += [f"{name} {event[key]:.4f}" for key, name in _NAMES.items() if isinstance(event.get(key), (int, float))]
    return " | ".join(parts)


_NAMES = {
    "eval_loss": "held-out loss",
    "eval_mean_token_accuracy": "held-out token accuracy",
    "eval_rewards/accuracies": "held-out reward accuracy",
    "eval_rewards/margins": "held-out margin",
    "reward_accuracy": "reward accuracy",
}
_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "loading": _loading,
    "tokens": _tokens,
    "training": _training,
    "resumed": lambda event: f"going on from {event['checkpoint']}",
    "progress": _progress,
    "finished": _finished,
}


def _short(value: Any) -> bool:
    return isinstance(value, (int, float, str))


@contextmanager
def reporting(*, first: bool) -> Iterator[Reporter]:
    """Open the reporter of this process.

    Standard output is kept for events alone: whatever else is printed goes to standard error. Where Dagster started
    the process, the reporter speaks into the run's log too.

    Args:
        first: Whether this is the first (or only) process of the training.
    """
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        if not first:
            yield Reporter(None)
        elif "DAGSTER_PIPES_CONTEXT" in os.environ:
            from dagster_pipes import open_dagster_pipes

            with open_dagster_pipes() as context:
                yield Reporter(lines, context.log)
        else:
            yield Reporter(lines)
    finally:
        lines.close()
