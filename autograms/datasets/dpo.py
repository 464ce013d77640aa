"""DPO rows: the answers that a supervisor preferred, each beside one that it rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from autograms.conversation.record import Call, Memory
from autograms.datasets.budget import CountTokens
from autograms.datasets.build import BuiltDataset, RowStream, differs, stream
from autograms.datasets.rows import DPO_SCHEMA
from autograms.settings import DatasetSettings

__all__ = ["build_dpo", "stream_dpo"]


def build_dpo(
    memories: Iterable[Memory], settings: DatasetSettings, *, count_tokens: CountTokens | None = None
) -> BuiltDataset:
    """Build the DPO dataset: one row a rejected output of a call that trains.

    The split is that of :func:`~autograms.datasets.sft.build_sft` with the same settings: no conversation, and no
    text, that SFT trains on is held out here.

    Args:
        memories: The conversations; an iterator is read once.
        settings: Which calls become rows, and the split.
        count_tokens: Counts the tokens of chat messages for ``max_tokens_total``; they are estimated where unset.

    Raises:
        DatasetError: Where the settings' tag query is wrong, or a recorded prompt cannot be read.
    """
    return stream_dpo(memories, settings, count_tokens=count_tokens).collect()


def stream_dpo(
    memories: Iterable[Memory], settings: DatasetSettings, *, count_tokens: CountTokens | None = None
) -> RowStream:
    """Build the DPO dataset without holding its table: as :func:`build_dpo`, a batch of rows at a time.

    Raises:
        DatasetError: As :func:`build_dpo`.
    """
    return stream(memories, settings, kind="dpo", schema=DPO_SCHEMA, answers=_pairs, count_tokens=count_tokens)


def _pairs(call: Call, dropped: Counter[str]) -> Iterator[tuple[str, ...]]:
    assert call.output is not None
    if not call.rejected:
        dropped["no rejected answer"] += 1
    for rejected in call.rejected:
        if differs(call, rejected):
            yield call.output, rejected
        else:
            dropped["chosen equals rejected"] += 1
