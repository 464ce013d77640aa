"""Why conversations failed: those that failed alike, counted.

What does not belong here: catching what fails (``autograms.errors``), and who is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Failed", "Failing", "alike", "most_frequent"]


class Failed(Protocol):
    """What is known of a failed conversation: a memory, or the columns of its row."""

    error: str | None
    error_message: str | None
    error_place: str | None
    error_side: str | None


@dataclass(slots=True)
class Failing:
    """Conversations that fail alike: with the same exception, at the same line.

    Attributes:
        error: The exception's class name.
        place: ``file:line`` in the program, ``None`` where it was not on the stack.
        message: The first one's message, which may quote what the program was told.
        side: ``chatbot`` or ``user``: whose program failed, ``None`` where it was neither's.
        count: How many they are.
    """

    error: str
    place: str | None
    message: str
    side: str | None = None
    count: int = 0

    def told(self, *, quoting: bool = True) -> str:
        """Return what failed, and where, as a text.

        Args:
            quoting: Whether the message is part of it.
        """
        whose = {"user": " of the userbot", "chatbot": " of the chatbot"}.get(self.side or "", "")
        message = f": {self.message}" if quoting and self.message not in ("", self.error) else ""
        return f"{self.error}{whose}{f' at {self.place}' if self.place else ''}{message}"

    @staticmethod
    def note(failed: Failed, among: list[Failing]) -> None:
        """Count a failed conversation among those that fail alike."""
        error = failed.error or "failed"
        same = next((each for each in among if (each.error, each.place) == (error, failed.error_place)), None)
        if same is None:
            same = Failing(error, failed.error_place, failed.error_message or "", failed.error_side)
            among.append(same)
        same.count += 1


def alike(failed: Iterable[Failed]) -> list[Failing]:
    """Return failed conversations by what they failed with, the most frequent first."""
    found: list[Failing] = []
    for each in failed:
        Failing.note(each, found)
    return sorted(found, key=lambda failing: -failing.count)


def most_frequent(failing: list[Failing], *, most: int = 3, quoting: bool = True) -> str:
    """Return the most frequent failures as one text, each with how many conversations failed by it.

    Args:
        failing: As :func:`alike` returns them.
        most: How many are told.
        quoting: Whether their messages are, too.
    """
    told = "; ".join(f"{each.told(quoting=quoting)} ({each.count})" for each in failing[:most])
    return told + (f"; and {len(failing) - most} more" if len(failing) > most else "")
