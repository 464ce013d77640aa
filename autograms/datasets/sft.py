"""SFT rows: every call that the deployed program makes, with the best answer known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from autograms.conversation.record import Call, Memory
from autograms.datasets.budget import CountTokens
from autograms.datasets.build import BuiltDataset, RowStream, stream
from autograms.datasets.rows import SFT_SCHEMA
from autograms.settings import DatasetSettings

__all__ = ["build_sft", "stream_sft"]


def build_sft(
    memories: Iterable[Memory], settings: DatasetSettings, *, count_tokens: CountTokens | None = None
) -> BuiltDataset:
    """Build the SFT dataset: one row a call, its prompt as it is sent, its output as the completion.

    Args:
        memories: The conversations; an iterator is read once.
        settings: Which calls become rows, and the split.
        count_tokens: Counts the tokens of chat messages for ``max_tokens_total``; they are estimated where unset.

    Raises:
        DatasetError: Where the settings' tag query is wrong, or a recorded prompt cannot be read.
    """
    return stream_sft(memories, settings, count_tokens=count_tokens).collect()


def stream_sft(
    memories: Iterable[Memory], settings: DatasetSettings, *, count_tokens: CountTokens | None = None
) -> RowStream:
    """Build the SFT dataset without holding its table: as :func:`build_sft`, a batch of rows at a time.

    Raises:
        DatasetError: As :func:`build_sft`.
    """
    return stream(memories, settings, kind="sft", schema=SFT_SCHEMA, answers=_output, count_tokens=count_tokens)


def _output(call: Call, dropped: Counter[str]) -> Iterable[tuple[str, ...]]:
    assert call.output is not None
    return ((call.output,),)
