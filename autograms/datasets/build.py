"""From conversations to a table of rows: select, split, remove duplicates and leaks, count.

What belongs here: what SFT and DPO datasets have in common. What does not: what a row of either holds (``sft``,
``dpo``). Conversations are read one at a time; the rows of all of them wait, compressed, until the split is known, and
leave a few thousand at a time.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import pyarrow as pa

from autograms.conversation.record import Call, Memory
from autograms.datasets.buffer import Row, RowBuffer
from autograms.datasets.report import DatasetReport
from autograms.datasets.rows import row_message
from autograms.datasets.select import Selection
from autograms.datasets.split import TRAIN, VALIDATION, group_key, split_groups
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings

__all__ = ["Answers", "BuiltDataset", "RowStream", "differs", "stream"]

_ENCODING = ("utf-8", "surrogatepass")
DUPLICATE = "duplicate"
LEAK = "held out, but its text also trains"

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
    memories: Iterable[Memory], settings: DatasetSettings, *, kind: str, schema: pa.Schema, answers: Answers
) -> RowStream:
    """Read conversations, and return their rows with the split decided, duplicates and leaks removed.

    Args:
        memories: The conversations; an iterator is read once.
        settings: Which calls become rows, and the split.
        kind: ``sft`` or ``dpo``.
        schema: The table's schema.
        answers: The answers of a call's rows.

    Raises:
        DatasetError: Where the settings' tag query is wrong, or a recorded prompt cannot be read.
    """
    builder = _Builder(settings, kind, schema, answers)
    for memory in memories:
        builder.add(memory)
    return builder.finish()


class _Builder:
    def __init__(self, settings: DatasetSettings, kind: str, schema: pa.Schema, answers: Answers) -> None:
        self.settings = settings
        self.selection = Selection(settings)
        self.report = DatasetReport(kind)
        self.answers = answers
        self.schema = schema
        self.buffer = RowBuffer(schema)
        self.groups: dict[str, int] = {}
        self.paired: set[int] = set()
        self.call_group, self.call_text = array("l"), array("Q")
        self.row_group, self.row_text, self.row_content = array("l"), array("Q"), array("Q")
        self.primitives: dict[str, int] = {}
        self.row_primitive = array("l")
        self._met: Counter[tuple[str, str]] = Counter()
        self._seen_tags: set[str] = set()
        self._seen_primitives: set[str] = set()

    # -- reading

    def add(self, memory: Memory) -> None:
        self.report.conversations += 1
        self.report.calls += len(memory.calls)
        reason = self.selection.refuses_memory(memory)
        if reason is not None:
            self.report.dropped[reason] += len(memory.calls)
            return
        _require_tree(memory)
        self._met[memory.autogram, memory.scenario] += 1
        origin = f"{memory.autogram}\0{memory.scenario}\0{self._met[memory.autogram, memory.scenario]}\0"
        key = group_key(memory)
        rows: list[Row] = []
        for index, call in enumerate(memory.calls):
            self._seen_tags.update(call.tags)
            self._seen_primitives.add(call.primitive)
            reason = self.selection.refuses(call)
            if reason is not None:
                self.report.dropped[reason] += 1
            else:
                self._add_call(memory, index, call, self.groups.setdefault(key, len(self.groups)), origin, rows)
        self.buffer.extend(memory, rows)

    def _add_call(self, memory: Memory, index: int, call: Call, group: int, origin: str, rows: list[Row]) -> None:
        prompt = _prompt(memory, index, call)
        asked = blake2b("\1".join([f"{role}\0{text}\0{extra}" for role, text, extra in prompt]).encode(*_ENCODING))
        own = _with(asked, call.output)
        text = _number(own)
        self.call_group.append(group)
        self.call_text.append(text)
        if call.rejected and any(differs(call, rejected) for rejected in call.rejected):
            self.paired.add(group)
        for answers in self.answers(call, self.report.dropped):
            content = own if len(answers) == 1 else _with(asked, *answers)
            identity = blake2b(f"{origin}{index}\0".encode(*_ENCODING) + content, digest_size=8).hexdigest()
            self.row_group.append(group)
            self.row_text.append(text)
            self.row_content.append(_number(content))
            self.row_primitive.append(self.primitives.setdefault(call.primitive, len(self.primitives)))
            rows.append((identity, index, call, prompt, answers))

    # -- deciding

    def finish(self) -> RowStream:
        sides = split_groups(
            {name: index in self.paired for name, index in self.groups.items()},
            fraction=self.settings.validation_fraction,
            seed=self.settings.split_seed,
        )
        held = [sides[name] == VALIDATION for name in self.groups]
        keep = self._kept(held)
        self._count(held, keep)
        return RowStream(self.schema, self._batches(held, keep), self.report)

    def _kept(self, held: list[bool]) -> bytearray:
        """Return 1 for each row that stays, 0 for each other; the others are counted."""
        trained = {text for group, text in zip(self.call_group, self.call_text, strict=True) if not held[group]}
        seen: tuple[set[int], set[int]] = (set(), set())
        keep = bytearray(len(self.row_group))
        for row, (group, text, content) in enumerate(zip(self.row_group, self.row_text, self.row_content, strict=True)):
            side = held[group]
            if side and text in trained:
                self.report.dropped[LEAK] += 1
            elif self.settings.deduplicate and content in seen[side]:
                self.report.dropped[DUPLICATE] += 1
            else:
                seen[side].add(content)
                keep[row] = 1
        return keep

    def _batches(self, held: list[bool], keep: bytearray) -> Iterator[pa.RecordBatch]:
        place, field = self.schema.get_field_index("split"), self.schema.field("split")
        start = 0
        for batch in self.buffer.drain():
            stop = start + len(batch)
            split = [VALIDATION if held[group] else TRAIN for group in self.row_group[start:stop]]
            batch = batch.set_column(place, field, pa.array(split, pa.string()))
            if not all(keep[start:stop]):
                batch = batch.filter(pa.array(map(bool, keep[start:stop]), pa.bool_()))
            if len(batch):
                yield batch.replace_schema_metadata(self.schema.metadata)
            start = stop

    def _count(self, held: list[bool], keep: bytearray) -> None:
        report = self.report
        report.rows = sum(keep)
        report.validation = sum(kept for kept, group in zip(keep, self.row_group, strict=True) if held[group])
        report.train = report.rows - report.validation
        report.groups, report.held_out_groups = len(held), sum(held)
        names = list(self.primitives)
        counts = Counter(index for index, kept in zip(self.row_primitive, keep, strict=True) if kept)
        report.by_primitive.update({names[index]: count for index, count in counts.items()})
        report.notes.extend(self._notes())

    def _notes(self) -> Iterator[str]:
        report = self.report
        for tag in sorted(self.selection.query.tags - self._seen_tags):
            yield f"no recorded call has the tag {tag!r}, which the tag query names"
        for primitive in sorted(self.selection.named_primitives - self._seen_primitives):
            yield f"no recorded call is a {primitive!r}, which the settings name"
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


def _prompt(memory: Memory, index: int, call: Call) -> list[tuple[str, str | None, str | None]]:
    try:
        return list(map(row_message, memory.prompt_messages(call.prompt)))
    except (IndexError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{memory.autogram}, scenario {memory.scenario!r}, call {index} ({call.primitive}): the recorded prompt "
            f"cannot be read ({type(error).__name__}: {error}); simulate the conversation again"
        ) from None


def _with(asked: blake2b, *answers: str | None) -> bytes:
    """Return the digest of a prompt with its answers."""
    digest = asked.copy()
    digest.update("\0".join(["", *(answer or "" for answer in answers)]).encode(*_ENCODING))
    return digest.digest()[:8]


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")
