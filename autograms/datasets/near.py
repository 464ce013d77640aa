"""Texts that are nearly the same, found by MinHash.

What belongs here: which calls' texts are near-duplicates of others'. What does not: exact duplicates, and what becomes
of either (``build``).

The text of a call is its prompt without the system prompt, and its answer, in lower case; its pieces are all runs of
five characters, so that languages without spaces are compared too. Calls are compared with those of other conversations
alone, since a prompt holds the prompts before it; and decisions only where they have the same answer, since two nearly
equal questions with different answers are what a model should learn to tell apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autograms.conversation.record import Call
from autograms.datasets.prompts import ENCODING, RowMessage
from autograms.errors import DatasetError

if TYPE_CHECKING:
    from datasketch import MinHash, MinHashLSH

__all__ = ["KEPT", "NEAR_HELD_OUT", "NEAR_TRAINED", "NearDuplicates"]

KEPT, NEAR_TRAINED, NEAR_HELD_OUT = range(3)
_PIECE = 5
_PERMUTATIONS = 128
_INDEXED = 0.9
"""The index proposes calls from this similarity on at the latest; each is compared with the threshold then."""
_MISSES_WEIGH = (0.1, 0.9)
"""A call that is proposed for nothing costs a comparison, one that is not proposed stays in the table."""
_Bucket = tuple[str, str | None]


class NearDuplicates:
    """The sketches of calls' texts.

    Args:
        threshold: Jaccard similarity of the texts' pieces from which on two are near-duplicates.

    Raises:
        DatasetError: Where the library that makes the sketches is not installed.
    """

    def __init__(self, threshold: float) -> None:
        try:
            import datasketch  # noqa: F401
        except ImportError:
            raise DatasetError("near_duplicates needs the package datasketch: pip install datasketch") from None
        self._threshold = threshold
        self._sketches: list[MinHash] = []
        self._buckets: list[_Bucket] = []
        self._conversations: list[int] = []

    def add(self, conversation: int, call: Call, prompt: Sequence[RowMessage]) -> None:
        """Take in a call."""
        from datasketch import MinHash

        told = [text or extra or "" for role, text, extra in prompt if role != "system"]
        sketch = MinHash(_PERMUTATIONS, hashfunc=zlib.crc32, scheme="affine32")
        sketch.update_batch(_pieces("\n".join([*told, call.output or ""])))
        self._sketches.append(sketch)
        self._buckets.append((call.primitive, call.output if call.kind == "choice" else None))
        self._conversations.append(conversation)

    def decide(self, held: Sequence[int], *, left_out: Sequence[int], with_rows: Sequence[int]) -> bytearray:
        """Return for each call, in the order in which they came, why its rows go: ``KEPT`` where they stay.

        Of near-duplicates on one side the first stays. A call that trains goes where it is near one that is held out.

        Args:
            held: Whether a call is held out.
            left_out: Whether a call counts for nothing, since its rows go for another reason.
            with_rows: Whether a call has rows; those without keep nothing else out of their own side.
        """
        decisions = bytearray(len(self._sketches))
        held_out, kept, trained = _Index(self), _Index(self), _Index(self)
        order = [call for call in range(len(self._sketches)) if not left_out[call]]
        for call in (call for call in order if held[call]):
            if kept.has_near(call):
                decisions[call] = NEAR_TRAINED
            elif with_rows[call]:
                kept.add(call)
            held_out.add(call)
        for call in (call for call in order if not held[call]):
            if held_out.has_near(call):
                decisions[call] = NEAR_HELD_OUT
            elif trained.has_near(call):
                decisions[call] = NEAR_TRAINED
            elif with_rows[call]:
                trained.add(call)
        return decisions

    def similar(self, one: int, other: int) -> bool:
        """Whether two calls, of different conversations, are near-duplicates."""
        if self._conversations[one] == self._conversations[other]:
            return False
        return self._sketches[one].jaccard(self._sketches[other]) >= self._threshold

    def index(self) -> MinHashLSH:
        """Return an empty index for sketches."""
        from datasketch import MinHashLSH

        return MinHashLSH(min(self._threshold, _INDEXED), _PERMUTATIONS, weights=_MISSES_WEIGH)

    def of(self, call: int) -> tuple[_Bucket, MinHash]:
        """Return what a call is compared within, and its sketch."""
        return self._buckets[call], self._sketches[call]


class _Index:
    """Calls to compare with, by what they are compared within."""

    def __init__(self, calls: NearDuplicates) -> None:
        self._calls = calls
        self._of: dict[_Bucket, MinHashLSH] = {}

    def add(self, call: int) -> None:
        bucket, sketch = self._calls.of(call)
        if bucket not in self._of:
            self._of[bucket] = self._calls.index()
        self._of[bucket].insert(call, sketch)

    def has_near(self, call: int) -> bool:
        bucket, sketch = self._calls.of(call)
        return bucket in self._of and any(self._calls.similar(call, other) for other in self._of[bucket].query(sketch))


def _pieces(text: str) -> set[bytes]:
    plain = " ".join(text.lower().split())
    return {plain[start : start + _PIECE].encode(*ENCODING) for start in range(max(1, len(plain) - _PIECE + 1))}
