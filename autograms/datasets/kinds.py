"""The two kinds of rows.

SFT: every call that the deployed program makes, with the best answer known. DPO: every answer that a supervisor
preferred, beside each one that it rejected. What does not belong here: what both have in common (``build``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from autograms.conversation.record import Call, Memory
from autograms.datasets.budget import CountTokens
from autograms.datasets.build import Answers, BuiltDataset, RowStream, differs, stream
from autograms.datasets.rows import DPO_SCHEMA, SFT_SCHEMA
from autograms.settings import DatasetSettings

__all__ = ["build_dpo", "build_sft", "stream_dpo", "stream_sft"]


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    schema: pa.Schema
    answers: Answers

    def build(
        self, memories: Iterable[Memory], settings: DatasetSettings, *, count_tokens: CountTokens | None = None
    ) -> BuiltDataset:
        """Build a dataset: its prompts as they are sent, and its answers.

        With the same settings the split of SFT and DPO rows is one: no conversation, and no text, that one of them
        trains on is held out in the other.

        Args:
            memories: The conversations; an iterator is read once.
            settings: Which calls become rows, and the split.
            count_tokens: Counts the tokens of chat messages for ``max_tokens_total``; they are estimated where unset.

        Raises:
            DatasetError: Where the settings' tag query is wrong, or a recorded prompt cannot be read.
        """
        return self.stream(memories, settings, count_tokens=count_tokens).collect()

    def stream(
        self, memories: Iterable[Memory], settings: DatasetSettings, *, count_tokens: CountTokens | None = None
    ) -> RowStream:
        """Build a dataset without holding its table: as the ``build_...`` functions, a batch of rows at a time.

        Raises:
            DatasetError: As these.
        """
        return stream(
            memories, settings, kind=self.name, schema=self.schema, answers=self.answers, count_tokens=count_tokens
        )


def _output(call: Call, dropped: Counter[str]) -> Iterable[tuple[str, ...]]:
    assert call.output is not None
    return ((call.output,),)


def _pairs(call: Call, dropped: Counter[str]) -> Iterator[tuple[str, ...]]:
    assert call.output is not None
    if not call.rejected:
        dropped["no rejected answer"] += 1
    for rejected in call.rejected:
        if differs(call, rejected):
            yield call.output, rejected
        else:
            dropped["chosen equals rejected"] += 1


_SFT, _DPO = _Kind("sft", SFT_SCHEMA, _output), _Kind("dpo", DPO_SCHEMA, _pairs)

build_sft, stream_sft = _SFT.build, _SFT.stream
build_dpo, stream_dpo = _DPO.build, _DPO.stream
