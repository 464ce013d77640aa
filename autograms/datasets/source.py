"""Reading from a file of conversations what rows are made of, and no more.

What belongs here: which parts of a record no row needs. What does not: reading (``autograms.conversation.parquet``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autograms.conversation.atomic import AnyPath
from autograms.conversation.parquet import read_table, stream_memories
from autograms.conversation.record import Memory

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["stream_for_rows"]

_TURNS = "turns"
_UNUSED = (
    *("fingerprint", "error", "error_message", "error_place", "error_side", "seed", "branch", "findings"),
    *("calls.input_tokens", "calls.output_tokens", "calls.milliseconds", "calls.reused", "calls.request"),
)


def stream_for_rows(path: AnyPath | UPath) -> Iterator[Memory]:
    """Read the conversations of a Parquet file for :func:`~autograms.datasets.build_sft` and the like.

    What the rows do not need is not read, and keeps its default. What was said is read only where a conversation has
    no scenario, since it then stands in its place in the split.

    Args:
        path: The file.

    Raises:
        RecordError: Where the file is missing, damaged, of a newer schema version, or holds something else.
    """
    scenarios = read_table(path, columns=["scenario"]).to_pydict().get("scenario", [])
    return stream_memories(path, leave_out=(*_UNUSED, _TURNS) if all(scenarios) else _UNUSED)
