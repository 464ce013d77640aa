"""What became of the recorded calls: the counts that people look at.

What belongs here: the report of a built dataset. What does not: findings about its content (``checks``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from autograms.conversation.markdown import cell, quoted

__all__ = ["DatasetReport"]


@dataclass(slots=True)
class DatasetReport:
    """Counts of a built dataset.

    Attributes:
        kind: ``sft`` or ``dpo``.
        conversations: Conversations that were read.
        groups: Groups of conversations with calls that train; no group stands on both sides.
        held_out_groups: Those of them that are held out.
        calls: Recorded calls.
        rows: Rows in the table.
        train: Rows that train.
        validation: Rows that are held out.
        by_primitive: Rows by primitive.
        dropped: What was left out, by reason: calls, and for ``dpo`` pairs.
        tokens: Tokens of the training rows, ``None`` where the settings set no budget.
        token_counter: What counted them.
        notes: What looks like a mistake in the settings, or deserves attention.
    """

    kind: str
    conversations: int = 0
    groups: int = 0
    held_out_groups: int = 0
    calls: int = 0
    rows: int = 0
    train: int = 0
    validation: int = 0
    by_primitive: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    tokens: int | None = None
    token_counter: str | None = None
    notes: list[str] = field(default_factory=list)

    def as_markdown(self) -> str:
        """Return the counts as Markdown."""
        what = "pairs" if self.kind == "dpo" else "rows"
        lines = [
            f"**{self.rows} {what}** ({self.train} train, {self.validation} validation) from {self.calls} calls in "
            f"{self.conversations} conversations; {self.held_out_groups} of {self.groups} groups held out."
        ]
        if self.tokens is not None:
            lines += ["", f"The training {what} take {self.tokens} tokens, as counted by {self.token_counter}."]
        lines += _table("primitive", what, self.by_primitive)
        lines += _table("left out because", "count", self.dropped)
        lines += ["", *(f"- {quoted(note)}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)


def _table(name: str, count: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    rows = [f"| {cell(key)} | {value} |" for key, value in counts.most_common()]
    return ["", f"| {name} | {count} |", "|---|---:|", *rows]
