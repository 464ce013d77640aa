"""What people watch while conversations are simulated: a bar in a terminal, and a closing line everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autograms.models.prices import cost_text

if TYPE_CHECKING:
    from autograms.conversation.record import Memory
    from autograms.simulation.simulator import Progress

__all__ = ["ProgressBar", "closing_line", "progress_bar"]


class ProgressBar:
    """A bar over conversations, with calls, tokens, cost and failures beside it. Call it with each new state."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("conversations"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("conversations", total=total, counts="")

    def __call__(self, progress: Progress) -> None:
        """Show the state of a simulation."""
        self._bar.update(self._task, completed=progress.finished, total=progress.total, counts=_counts(progress))

    def start(self) -> None:
        """Begin to draw, where stderr is a terminal."""
        if self._bar.console.is_terminal:
            self._bar.start()

    def stop(self) -> None:
        """Draw for the last time."""
        if self._bar.live.is_started:
            self._bar.stop()


@contextmanager
def progress_bar(total: int) -> Iterator[ProgressBar]:
    """Show a bar while the block runs."""
    bar = ProgressBar(total)
    bar.start()
    try:
        yield bar
    finally:
        bar.stop()


def closing_line(memories: Sequence[Memory], progress: Progress) -> str:
    """Return what a simulation did, in one line."""
    supervised = sum(call.supervised for memory in memories for call in memory.calls)
    answers = f" · {supervised} answered by supervisors" if supervised else ""
    return f"{progress.total} conversations in {progress.seconds:.1f} s: {_counts(progress)}{answers}"


def _counts(progress: Progress) -> str:
    parts = [f"{progress.calls} calls"]
    if progress.reused:
        parts.append(f"{progress.paid} paid, {progress.reused} reused")
    parts.append(f"{progress.input_tokens + progress.output_tokens} tokens")
    parts.append(cost_text(progress.cost_usd, progress.unpriced))
    parts.append(f"{progress.failed} failed")
    if progress.faults:
        parts.append(f"{progress.faults} with faults of the user's program")
    if progress.batches:
        parts.append(progress.batches)
    return " · ".join(parts)
