"""What people watch while conversations are simulated: a bar in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autograms.simulation.simulator import Progress

__all__ = ["ProgressBar", "progress_bar"]


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
        self._bar.update(self._task, completed=progress.finished, total=progress.total, counts=progress.told())

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
