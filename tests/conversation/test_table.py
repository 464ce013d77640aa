from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograms.conversation.record import Call, Memory, Turn
from autograms.conversation.table import MEMORY_SCHEMA, memories_to_table, table_to_memories
from autograms.errors import RecordError
from tests.memories import any_memory, desk_memories, desk_memory


def test_schema_has_every_field_of_the_record() -> None:
    def names(kind: type) -> list[str]:
        return [field.name for field in dataclasses.fields(kind) if field.compare]

    assert set(MEMORY_SCHEMA.names) == set(names(Memory))
    assert [field.name for field in MEMORY_SCHEMA.field("calls").type.value_type] == names(Call)
    assert [field.name for field in MEMORY_SCHEMA.field("turns").type.value_type] == names(Turn)


@given(st.lists(any_memory, max_size=4))
@settings(max_examples=60, deadline=None)
def test_table_round_trip(memories: list[Memory]) -> None:
    assert table_to_memories(memories_to_table(memories)) == memories


def test_sliced_table_is_read() -> None:
    memories = desk_memories(6)
    assert table_to_memories(memories_to_table(memories).slice(2, 3)) == memories[2:5]


def test_a_table_that_went_through_pandas_is_read() -> None:
    memories = desk_memories(3)
    assert table_to_memories(pa.Table.from_pandas(memories_to_table(memories).to_pandas())) == memories


def test_fields_that_an_older_file_lacks_get_their_defaults() -> None:
    table = memories_to_table([desk_memory()])
    rows = table.to_pylist()
    for call in rows[0]["calls"]:
        del call["error"], call["reused"], call["tags"]
    memory = table_to_memories(pa.Table.from_pylist(rows))[0]
    assert {(call.error, call.reused, call.tags) for call in memory.calls} == {(None, False, ())}


def test_lone_surrogates_become_replacement_characters() -> None:
    memory = table_to_memories(memories_to_table([Memory(autogram="a\ud800b", messages=[("user", "\udc00", None)])]))[0]
    assert memory.autogram == "a�b"
    assert memory.messages == [("user", "�", None)]


def test_a_value_that_cannot_be_stored_names_the_conversation() -> None:
    with pytest.raises(RecordError, match=r"scenario 's1'.*cannot be stored"):
        memories_to_table([desk_memory(0), desk_memory(1, seed=2**70), desk_memory(2)])


def test_newer_row_is_refused() -> None:
    with pytest.raises(RecordError, match="schema version 9"):
        table_to_memories(memories_to_table([desk_memory(version=9)]))
