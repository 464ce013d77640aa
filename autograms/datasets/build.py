"""From conversations to a table of rows: select, split, remove duplicates and leaks, count.

What belongs here: what SFT and DPO datasets have in common. What does not: what a row of either holds (``kinds``), and
how texts are compared (``near``) or counted (``budget``). Conversations are read one at a time; the rows of all of them
wait, compressed, until the split is known, and leave a few thousand at a time.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from operator import attrgetter

import pyarrow as pa

from autograms.conversation.garbage import collecting_seldom
from autograms.conversation.record import Call, Memory
from autograms.datasets.budget import ESTIMATE, CountTokens, beyond_budget, estimate_tokens, row_tokens
from autograms.datasets.buffer import Row, RowBuffer
from autograms.datasets.groups import Groups
from autograms.datasets.near import NEAR_HELD_OUT, NEAR_TRAINED, NearDuplicates
from autograms.datasets.prompts import ENCODING, PromptReader
from autograms.datasets.report import DatasetReport
from autograms.datasets.select import Selection
from autograms.datasets.split import TRAIN, VALIDATION
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings

__all__ = ["Answers", "BuiltDataset", "RowStream", "differs", "stream"]

DUPLICATE = "duplicate"
LEAK = "held out, but its text also trains"
BUDGET = "beyond the token budget"
_NEAR = {NEAR_TRAINED: "near-duplicate", NEAR_HELD_OUT: "near-duplicate of a held-out call"}

_TAGS, _PRIMITIVE = attrgetter("tags"), attrgetter("primitive")

Answers = Callable[[Call, Counter[str]], Iterable[tuple[str, ...]]]
"""From a call to the answers of each of its rows, the one to learn first; what it leaves out it counts."""


@dataclass(frozen=True, slots=True)
class BuiltDataset:
    """A dataset and how it came to be.

    Attributes:
        table: The rows, of ``SFT_SCHEMA`` or ``DPO_SCHEMA``.
        report: What was counted on the way.
    """

    table: pa.Table
    report: DatasetReport


@dataclass(frozen=True, slots=True)
class RowStream:
    """A dataset whose rows are still to be read: for tables that are better not held whole.

    Attributes:
        schema: The rows' schema.
        batches: The rows, to be read once.
        report: What was counted on the way; it is complete.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    report: DatasetReport

    def collect(self) -> BuiltDataset:
        """Read all rows into a table."""
        return BuiltDataset(pa.Table.from_batches(list(self.batches), self.schema), self.report)


def stream(
    memories: Iterable[Memory],
    settings: DatasetSettings,
    *,
    kind: str,
    schema: pa.Schema,
    answers: Answers,
    count_tokens: CountTokens | None = None,
) -> RowStream:
    """Read conversations, and return their rows with the split decided, duplicates and leaks removed.

    Args:
        memories: The conversations; an iterator is read once.
        settings: Which calls become rows, and the split.
        kind: ``sft`` or ``dpo``.
        schema: The table's schema.
        answers: The answers of a call's rows.
        count_tokens: Counts the tokens of chat messages for ``max_tokens_total``; they are estimated where unset.

    Raises:
        DatasetError: Where the settings' tag query is wrong, or a recorded prompt cannot be read.
    """
    builder = _Builder(settings, kind, schema, answers, count_tokens)
    with collecting_seldom():
        for memory in memories:
            builder.add(memory)
        return builder.finish()


class _Builder:
    """Reads all conversations, then decides; what it must know of each call and row stands in arrays of numbers."""

    def __init__(
        self,
        settings: DatasetSettings,
        kind: str,
        schema: pa.Schema,
        answers: Answers,
        count_tokens: CountTokens | None,
    ) -> None:
        self.settings = settings
        self.selection = Selection(settings)
        self.report = DatasetReport(kind)
        self.answers = answers
        self.schema = schema
        self.count_tokens = count_tokens
        self.buffer = RowBuffer(schema)
        self.prompts = PromptReader(self.buffer.messages)
        self.groups = Groups(settings)
        self.near = None if settings.near_duplicates is None else NearDuplicates(settings.near_duplicates)
        self.paired: set[int] = set()
        self.primitives: dict[str, int] = {}
        self.call_group, self.call_text, self.call_primitive = array("l"), array("q"), array("l")
        self.row_call, self.row_content = array("l"), array("q")
        self.row_place, self.row_tokens = array("Q"), array("l")
        self._met: Counter[tuple[str, str]] = Counter()
        self._seen_tags: set[str] = set()
        self._seen_primitives: set[str] = set()

    # -- reading

    def add(self, memory: Memory) -> None:
        report = self.report
        report.conversations += 1
        report.calls += len(memory.calls)
        reason = self.selection.refuses_memory(memory)
        if reason is not None:
            report.dropped[reason] += len(memory.calls)
            return
        _require_tree(memory)
        self._met[memory.autogram, memory.scenario] += 1
        origin = f"{memory.autogram}\0{memory.scenario}\0{self._met[memory.autogram, memory.scenario]}\0"
        if self.selection.query.tags:
            self._seen_tags.update(*map(_TAGS, memory.calls))
        if self.selection.named_primitives:
            self._seen_primitives.update(map(_PRIMITIVE, memory.calls))
        rows: list[Row] = []
        group = None
        self.prompts.open(memory)
        for index, call in enumerate(memory.calls):
            reason = self.selection.refuses(call)
            if reason is not None:
                report.dropped[reason] += 1
                continue
            if group is None:
                group = self.groups.add(memory)
            self._add_call(index, call, group, _read(self.prompts, memory, index, call), origin, rows)
        self.buffer.extend(memory, rows)

    def _add_call(
        self, index: int, call: Call, group: int, read: tuple[list[int], int], origin: str, rows: list[Row]
    ) -> None:
        prompt, asked = read
        messages = self.prompts.messages
        number = len(self.call_group)
        self.call_group.append(group)
        self.call_text.append(hash((asked, call.output)))
        self.call_primitive.append(self.primitives.setdefault(call.primitive, len(self.primitives)))
        if self.near is not None:
            self.near.add(self.report.conversations, call, [messages[message] for message in prompt])
        if call.rejected and group not in self.paired and any(differs(call, rejected) for rejected in call.rejected):
            self.paired.add(group)
        for answers in self.answers(call, self.report.dropped):
            self.row_call.append(number)
            self.row_content.append(hash((asked, answers)))
            asks = messages[prompt[-1]][1] if prompt else None
            text = "\0".join((origin, str(index), asks or "", *answers))
            identity = blake2b(text.encode(*ENCODING), digest_size=8)
            if self.settings.max_tokens_total is not None:
                asking = [messages[message] for message in prompt]
                self.row_place.append(int.from_bytes(identity.digest(), "big"))
                self.row_tokens.append(row_tokens(asking, call, answers, self.count_tokens or estimate_tokens))
            rows.append((identity.hexdigest(), index, call, prompt, answers))

    # -- deciding

    def finish(self) -> RowStream:
        held_groups = self.groups.held_out(self.paired)
        held = bytearray(held_groups[group] for group in self.call_group)
        keep = self._distinct(held)
        self._keep_to_budget(held, keep)
        self._count(held_groups, held, keep)
        return RowStream(self.schema, self._batches(held, keep), self.report)

    def _distinct(self, held: bytearray) -> bytearray:
        """Return 1 for each row that stays, 0 for each duplicate and leak; those are counted."""
        trained = {text for side, text in zip(held, self.call_text, strict=True) if not side}
        near = self._near(held, trained)
        seen: tuple[set[int], set[int]] = (set(), set())
        keep = bytearray(len(self.row_call))
        dropped = self.report.dropped
        for row, (call, content) in enumerate(zip(self.row_call, self.row_content, strict=True)):
            side = held[call]
            if side and self.call_text[call] in trained:
                dropped[LEAK] += 1
            elif self.settings.deduplicate and content in seen[side]:
                dropped[DUPLICATE] += 1
            elif near and near[call]:
                dropped[_NEAR[near[call]]] += 1
            else:
                seen[side].add(content)
                keep[row] = 1
        return keep

    def _near(self, held: bytearray, trained: set[int]) -> bytearray:
        """Return why each call goes, as ``NearDuplicates`` says; empty where nobody asked."""
        if self.near is None:
            return bytearray()
        leaks = [bool(side) and text in trained for side, text in zip(held, self.call_text, strict=True)]
        with_rows = bytearray(len(held))
        for call in self.row_call:
            with_rows[call] = 1
        return self.near.decide(held, left_out=leaks, with_rows=with_rows)

    def _keep_to_budget(self, held: bytearray, keep: bytearray) -> None:
        budget = self.settings.max_tokens_total
        if budget is None:
            return
        trains = [row for row, call in enumerate(self.row_call) if keep[row] and not held[call]]
        beyond = beyond_budget(trains, self.row_place, self.row_tokens, budget=budget, seed=self.settings.split_seed)
        for row in beyond:
            keep[row] = 0
        self.report.dropped.update({BUDGET: len(beyond)} if beyond else {})
        self.report.tokens = sum(self.row_tokens[row] for row in trains if row not in beyond)
        self.report.token_counter = ESTIMATE if self.count_tokens is None else "the tokenizer that was given"

    def _batches(self, held: bytearray, keep: bytearray) -> Iterator[pa.RecordBatch]:
        place, field = self.schema.get_field_index("split"), self.schema.field("split")
        start = 0
        for batch in self.buffer.drain():
            stop = start + len(batch)
            split = [VALIDATION if held[call] else TRAIN for call in self.row_call[start:stop]]
            batch = batch.set_column(place, field, pa.array(split, pa.string()))
            if not all(keep[start:stop]):
                batch = batch.filter(pa.array(map(bool, keep[start:stop]), pa.bool_()))
            if len(batch):
                yield batch.replace_schema_metadata(self.schema.metadata)
            start = stop

    def _count(self, held_groups: list[bool], held: bytearray, keep: bytearray) -> None:
        report = self.report
        report.rows = sum(keep)
        report.validation = sum(kept and held[call] for kept, call in zip(keep, self.row_call, strict=True))
        report.train = report.rows - report.validation
        report.groups, report.held_out_groups = self.groups.counts(held_groups)
        names = list(self.primitives)
        counts = Counter(self.call_primitive[call] for call, kept in zip(self.row_call, keep, strict=True) if kept)
        report.by_primitive.update({names[index]: count for index, count in counts.items()})
        report.notes.extend(self._notes())

    def _notes(self) -> Iterator[str]:
        report = self.report
        for tag in sorted(self.selection.query.tags - self._seen_tags):
            yield f"no recorded call has the tag {tag!r}, which the tag query names"
        for primitive in sorted(self.selection.named_primitives - self._seen_primitives):
            yield f"no recorded call is a {primitive!r}, which the settings name"
        yield from self.groups.notes()
        if not report.rows:
            yield "no row is left"
        elif not report.train:
            yield "no row trains"
        elif not report.validation and self.settings.validation_fraction > 0:
            yield "no row is held out: the conversations are too few, or all their texts are the same"


def differs(call: Call, rejected: str) -> bool:
    """Whether a rejected answer is another than the call's output; JSON texts of the same object are the same."""
    if rejected == call.output:
        return False
    if call.kind != "object":
        return True
    try:
        return bool(json.loads(rejected) != json.loads(call.output or ""))
    except ValueError:
        return True


def _require_tree(memory: Memory) -> None:
    """Refuse a history that leads back into itself: a damaged or hostile file's prompts would never end."""
    if any(parent >= node for node, (parent, _) in enumerate(memory.history)):
        raise DatasetError(
            f"{memory.autogram}, scenario {memory.scenario!r}: the recorded history is damaged (a node comes before "
            "the one it follows); simulate the conversation again"
        )


def _read(prompts: PromptReader, memory: Memory, index: int, call: Call) -> tuple[list[int], int]:
    try:
        return prompts.read(call.prompt)
    except (IndexError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{memory.autogram}, scenario {memory.scenario!r}, call {index} ({call.primitive}): the recorded prompt "
            f"cannot be read ({type(error).__name__}: {error}); simulate the conversation again"
        ) from None
