"""The account of a dataset in a model's own tokens: what trains, and what the longest row that is allowed would lose.

What belongs here: the account, and how it reads. What does not: turning rows into tokens (``tokens``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from autograms.conversation.markdown import cell, code

__all__ = ["NO_LOSS", "NO_ROOM", "TOO_LONG", "TokenAudit"]

TOO_LONG = "longer than the limit"
NO_ROOM = "the answer alone fills the limit"
NO_LOSS = "no token with loss"
_REASONS = (TOO_LONG, NO_ROOM, NO_LOSS)
_MOST_NAMED = 10
_BINS = 24


@dataclass(slots=True)
class TokenAudit:
    """What the rows come to in the model's own tokens.

    Attributes:
        max_length: The limit: the longest row that trains, in tokens.
        context: The model's own longest input, in tokens; ``None`` where it is not known.
        rows: Rows that were given.
        trained: Rows that are trained on.
        tokens: Tokens of the trained rows, both answers of a pair counted.
        loss_tokens: Tokens among them that carry loss.
        over: Rows longer than the limit.
        left_out: Rows that are not trained on, by reason.
        truncated: Rows whose prompt was cut from the left.
        tokens_lost: Tokens of the rows that are left out, and those that were cut.
        loss_tokens_lost: Tokens among them that carry loss.
        could_cut: Tokens that ``truncate`` would cut, where it is off, so that the rows that are too long train.
        longest: Tokens of the longest row that was given.
        longest_row: Its id.
        named: Ids of the first rows that were left out, by reason.
        histogram: ``(first length of the bin, rows)`` over all rows.
    """

    max_length: int
    context: int | None = None
    rows: int = 0
    trained: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    over: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    truncated: int = 0
    tokens_lost: int = 0
    loss_tokens_lost: int = 0
    could_cut: int = 0
    longest: int = 0
    longest_row: str = ""
    named: dict[str, list[str]] = field(default_factory=dict)
    histogram: list[tuple[int, int]] = field(default_factory=list)

    def leave_out(self, row: str, reason: str) -> None:
        """Count a row that is not trained on, and name it among the first."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        named = self.named.setdefault(reason, [])
        if len(named) < _MOST_NAMED:
            named.append(row)

    def close(self, lengths: list[int]) -> None:
        """Finish the account.

        Args:
            lengths: The length of each row that was given.
        """
        self.rows = len(lengths)
        self.histogram = _histogram(lengths)

    def refusal(self) -> str | None:
        """Return why nothing can be trained, ``None`` where something can, or no row was given."""
        if self.trained or not self.rows:
            return None
        return (
            f"none of the {self.rows} rows can be trained on: {self.told()}; raise max_length, or set truncate, and "
            "take a model that reads as much"
        )

    def told(self) -> str:
        """Return what is left out or cut, and the longest row, in a sentence."""
        parts = [f"{count} left out: {reason}" for reason, count in self.left_out.items()]
        if self.truncated:
            parts.append(f"{self.truncated} cut from the left of the prompt")
        if parts:
            parts.append(f"{self.tokens_lost:,} tokens are lost, {self.loss_tokens_lost:,} of them with loss")
        return "; ".join([*parts, f"the longest row has {self.longest:,} of at most {self.max_length:,} tokens"])

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain containers."""
        return asdict(self)

    def as_markdown(self) -> str:
        """Return the audit as a Markdown table, with what ``truncate`` would change, and the names of rows."""
        share = self.loss_tokens / self.tokens if self.tokens else 0.0
        figures = {
            "rows": f"{self.rows:,}",
            "rows trained on": f"{self.trained:,}",
            "tokens": f"{self.tokens:,}",
            "tokens with loss": f"{self.loss_tokens:,} ({share:.1%})",
            "longest row": f"{self.longest:,}" + (f" ({cell(self.longest_row)})" if self.longest_row else ""),
            "limit": f"{self.max_length:,}",
            "longest input of the model": f"{self.context:,}" if self.context else "not known",
            "rows over the limit": f"{self.over:,}",
            **{f"left out: {reason}": f"{self.left_out.get(reason, 0):,}" for reason in _REASONS},
            "cut from the left of the prompt": f"{self.truncated:,}",
            "tokens lost": f"{self.tokens_lost:,}",
            "tokens lost that carry loss": f"{self.loss_tokens_lost:,}",
        }
        lines = ["| token audit | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in figures.items())]
        if self.could_cut:
            saved = f"With truncate, {self.left_out[TOO_LONG]:,} of the rows that are left out would train, "
            cut = f"{self.could_cut:,} tokens cut from the left of their prompts and none of their answers."
            lines += ["", saved + cut]
        for reason, rows in self.named.items():
            more = self.left_out[reason] - len(rows)
            ids = ", ".join(code(row) for row in rows) + (f" and {more:,} more" if more else "")
            lines += ["", f"Left out, {reason}: {ids}"]
        return "\n".join(lines)


def _histogram(lengths: list[int]) -> list[tuple[int, int]]:
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    width = max(1, -(-(high - low + 1) // _BINS))
    counts = [0] * ((high - low) // width + 1)
    for length in lengths:
        counts[(length - low) // width] += 1
    return [(low + index * width, count) for index, count in enumerate(counts)]
