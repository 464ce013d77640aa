"""From a row back to the conversation and the call that it came from.

What belongs here: finding them. What does not: showing them (``autograms.cli.lineage``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from autograms.conversation.record import Call, Memory
from autograms.datasets.rows import chat_messages
from autograms.errors import DatasetError

__all__ = ["Origin", "find_origin", "find_row"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row comes from.

    Attributes:
        memory: The conversation.
        number: Its place among the conversations that were searched, from 0.
        index: The call's place in the conversation, from 0.
    """

    memory: Memory
    number: int
    index: int

    @property
    def call(self) -> Call:
        """The call."""
        return self.memory.calls[self.index]


def find_row(table: pa.Table, row_id: str) -> dict[str, Any] | None:
    """Return the row with an id, ``None`` where the table has none.

    Args:
        table: SFT or DPO rows.
        row_id: The id, or the beginning of it.

    Raises:
        DatasetError: Where several ids begin so.
    """
    found = table.filter(pc.starts_with(table["id"], row_id))
    ids = [str(found_id) for found_id in found["id"].to_pylist()]
    if len(ids) > 1 and row_id not in ids:
        raise DatasetError(f"{len(ids)} rows begin with {row_id!r} ({', '.join(ids[:3])}, ...); give more of the id")
    rows = found.to_pylist()
    return rows[ids.index(row_id) if row_id in ids else 0] if rows else None


def find_origin(memories: Iterable[Memory], row: dict[str, Any]) -> Origin:
    """Return the conversation and the call of a row.

    Args:
        memories: The conversations that the row's table was built from; an iterator is read as far as needed.
        row: The row, as :func:`find_row` gives it.

    Raises:
        DatasetError: Where no conversation holds the row: they were simulated again since.
    """
    for number, memory in enumerate(memories):
        if (memory.autogram, memory.scenario) == (row["autogram"], row["scenario"]) and _holds(memory, row):
            return Origin(memory, number, row["call"])
    raise DatasetError(
        f"no stored conversation of {row['autogram']!r}, scenario {row['scenario']!r}, holds row {row['id']}: the "
        "conversations were simulated again after the rows were built; materialize the dataset again"
    )


def _holds(memory: Memory, row: dict[str, Any]) -> bool:
    """Whether the conversation's call is the row's: a scenario may have been simulated more than once."""
    if not 0 <= row["call"] < len(memory.calls):
        return False
    call = memory.calls[row["call"]]
    if call.output != row.get("completion", row.get("chosen")):
        return False
    if "rejected" in row and row["rejected"] not in call.rejected:
        return False
    return chat_messages(row["prompt"]) == memory.prompt_messages(call.prompt)
