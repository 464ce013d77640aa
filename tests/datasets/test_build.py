from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograms.conversation.record import Memory, Prompt
from autograms.conversation.table import memories_to_table, table_to_memories
from autograms.datasets import DPO_SCHEMA, SFT_SCHEMA, build_dpo, build_sft, chat_messages, stream_sft
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings
from tests.memories import Recorder, desk_memories, desk_memory

DEFAULTS = DatasetSettings()


def texts(rows: list[dict[str, Any]], answer: str = "completion") -> dict[str, set[tuple[str, str]]]:
    sides: dict[str, set[tuple[str, str]]] = {"train": set(), "validation": set()}
    for row in rows:
        sides[row["split"]].add((str(row["prompt"]), row[answer]))
    return sides


def short_memory(scenario: str, said: str, answer: str, *rejected: str) -> Memory:
    recorder = Recorder(scenario=scenario)
    recorder.say("user", said)
    recorder.call("reply_instruction", "Answer.", answer, rejected=rejected, supervised=True)
    return recorder.memory


def test_every_trained_call_is_a_row() -> None:
    memories = desk_memories(4)
    table = build_sft(memories, DEFAULTS).table
    wanted = [(m.scenario, i, c.output) for m in memories for i, c in enumerate(m.calls) if c.trains]
    assert list(zip(*(table[n].to_pylist() for n in ("scenario", "call", "completion")), strict=True)) == wanted


def test_the_prompt_is_what_deployment_sends() -> None:
    memories = {memory.scenario: memory for memory in desk_memories(4)}
    for row in build_sft(memories.values(), DEFAULTS).table.to_pylist():
        memory = memories[row["scenario"]]
        assert chat_messages(row["prompt"]) == memory.prompt_messages(memory.calls[row["call"]].prompt)


def test_messages_with_further_fields_come_back_as_they_were() -> None:
    recorder = Recorder()
    recorder.node("assistant", "", '{"tool_calls": [{"id": "1"}], "content": null}')
    recorder.node("tool", "4", '{"tool_call_id": "1"}')
    recorder.node("user", "see", '{"content": [{"type": "text", "text": "see"}]}')
    recorder.call("reply_instruction", "Answer.", "ok")
    prompt = build_sft([recorder.memory], DEFAULTS).table["prompt"][0].as_py()
    assert chat_messages(prompt) == recorder.memory.prompt_messages(recorder.memory.calls[0].prompt)
    assert [message["content"] for message in prompt] == [None, "4", None, "Answer."]


def test_rows_say_where_they_come_from() -> None:
    row = build_sft([desk_memory(3)], DEFAULTS).table.slice(1, 1).to_pylist()[0]
    assert {name: row[name] for name in ("autogram", "scenario", "call", "primitive", "place", "kind")} == {
        "autogram": "desk", "scenario": "s3", "call": 2, "primitive": "reply_instruction", "place": "chatbot:12",
        "kind": "text",
    }  # fmt: skip
    assert (row["supervisor"], row["score"], row["tags"]) == ("formal", 0.9, ["formal", "long answer"])


def test_schemas() -> None:
    assert build_sft(desk_memories(2), DEFAULTS).table.schema.equals(SFT_SCHEMA, check_metadata=True)
    assert build_dpo([], DEFAULTS).table.schema.equals(DPO_SCHEMA, check_metadata=True)


def test_pairs_are_one_row_a_rejected_output() -> None:
    built = build_dpo([desk_memory(1)], DEFAULTS)
    pairs = [(row["chosen"], row["rejected"]) for row in built.table.to_pylist()]
    answer = "We regret that your kettle 1 broke."
    assert pairs == [("Yes", "No"), (answer, "oops, kettle 1 broke"), (answer, "lol")]
    assert built.report.dropped["no rejected answer"] == 1


def test_equal_pairs_are_left_out_and_counted() -> None:
    memory = short_memory("s", "hi", "same", "same", "other")
    memory.calls.append(
        dataclasses.replace(memory.calls[0], kind="object", output='{"a": 1}', rejected=('{"a":1}', "no"))
    )
    built = build_dpo([memory], DEFAULTS)
    assert built.table["rejected"].to_pylist() == ["other", "no"]
    assert built.report.dropped["chosen equals rejected"] == 2


def test_no_conversation_and_no_text_stands_on_both_sides() -> None:
    memories = [short_memory(f"s{i}", f"hi {i % 7}", f"answer {i % 3}", "no") for i in range(60)]
    for rows, answer in ((build_sft(memories, DEFAULTS), "completion"), (build_dpo(memories, DEFAULTS), "chosen")):
        sides = texts(rows.table.to_pylist(), answer)
        assert sides["train"]
        assert not sides["train"] & sides["validation"]


rows_of_few_texts = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from("abc"), st.sampled_from("xyz"), st.lists(st.sampled_from("xyz"))),
    max_size=25,
)


@given(rows_of_few_texts, st.booleans(), st.sampled_from([0.2, 0.5, 0.8]))
@settings(deadline=None)
def test_properties_of_the_split(drawn: list[tuple[int, str, str, list[str]]], unique: bool, fraction: float) -> None:
    memories = [short_memory(f"s{key}", said, answer, *rejected) for key, said, answer, rejected in drawn]
    wanted = DatasetSettings(deduplicate=unique, validation_fraction=fraction)
    sft, dpo = build_sft(memories, wanted), build_dpo(memories, wanted)
    rows, pairs = sft.table.to_pylist(), dpo.table.to_pylist()
    for side, other in (("train", "validation"), ("validation", "train")):
        here = {row["scenario"] for row in rows + pairs if row["split"] == side}
        assert not here & {row["scenario"] for row in rows + pairs if row["split"] == other}
    held = texts(rows)["validation"] | texts(pairs, "chosen")["validation"]
    assert not held & (texts(rows)["train"] | texts(pairs, "chosen")["train"])
    assert (
        texts(rows)["train"] | texts(rows)["validation"]
        == texts(build_sft(memories, DatasetSettings(deduplicate=False, validation_fraction=0)).table.to_pylist())[
            "train"
        ]
    )
    assert len({row["id"] for row in rows}) == len(rows)
    if unique:
        assert len({(str(row["prompt"]), row["completion"]) for row in rows}) == len(rows)
    for built, count in ((sft, len(memories)), (dpo, len(memories))):
        assert built.report.rows == built.report.train + built.report.validation == len(built.table)
        assert built.report.calls == count
    assert len(rows) + sum(sft.report.dropped.values()) == len(memories)


def test_text_that_trains_stays_in_training() -> None:
    memories = [short_memory(f"s{i}", "hi", "always the same") for i in range(40)]
    built = build_sft(memories, DEFAULTS)
    assert built.table["split"].to_pylist() == ["train"]
    assert built.report.dropped["held out, but its text also trains"] > 0
    assert built.report.dropped["duplicate"] > 0
    assert any("no row is held out" in note for note in built.report.notes)


def test_the_same_pair_is_a_duplicate_and_another_rejected_answer_is_none() -> None:
    memories = [short_memory("s", "hi", "good", "bad"), short_memory("s", "hi", "good", "bad", "worse")]
    built = build_dpo(memories, DEFAULTS)
    assert built.table["rejected"].to_pylist() == ["bad", "worse"]
    assert built.report.dropped == {"duplicate": 1}


def test_duplicates_stay_on_request() -> None:
    memories = [short_memory("s", "hi", "same") for _ in range(3)]
    assert len(build_sft(memories, DatasetSettings(deduplicate=False)).table) == 3
    assert build_sft(memories, DEFAULTS).report.dropped == {"duplicate": 2}


def test_building_is_deterministic_and_survives_parquet() -> None:
    memories = desk_memories(12)
    again = table_to_memories(memories_to_table(memories))
    assert build_sft(memories, DEFAULTS).table.equals(build_sft(again, DEFAULTS).table)
    assert build_dpo(iter(memories), DEFAULTS).table.equals(build_dpo(again, DEFAULTS).table)


def test_ids_hold_through_other_filters() -> None:
    every = build_sft(desk_memories(3), DEFAULTS).table["id"].to_pylist()
    some = build_sft(desk_memories(3), DatasetSettings(primitives=["yes_or_no"])).table["id"].to_pylist()
    assert set(some) < set(every)


def test_many_rows_cross_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build_sft(desk_memories(20), DEFAULTS).table
    monkeypatch.setattr("autograms.datasets.buffer._ROWS_AT_ONCE", 7)
    pieces = build_sft(desk_memories(20), DEFAULTS).table
    assert pieces.equals(whole)
    assert pieces["id"].num_chunks > 1


def test_failed_conversations_are_counted() -> None:
    built = build_sft([desk_memory(0, status="failed"), desk_memory(1)], DEFAULTS)
    assert built.report.dropped["conversation failed"] == 7
    assert set(built.table["scenario"].to_pylist()) == {"s1"}


def test_notes_on_names_that_occur_nowhere() -> None:
    built = build_sft(desk_memories(2), DatasetSettings(tag_query="formal & !drfat", exclude_primitives=["reply"]))
    assert built.report.notes[:1] == ["no recorded call has the tag 'drfat', which the tag query names"]
    assert build_sft([desk_memory()], DatasetSettings(primitives=["thougt"])).report.notes == [
        "no recorded call is a 'thougt', which the settings name",
        "no row is left",
    ]


def test_report_as_markdown() -> None:
    text = build_sft(desk_memories(10), DEFAULTS).report.as_markdown()
    assert text.startswith("**30 rows** (")
    assert "| reply_instruction | 10 |" in text
    assert "| inside a supervisor | 10 |" in text


def test_a_prompt_that_cannot_be_read_names_the_call() -> None:
    memory = desk_memory(2)
    memory.calls[1] = dataclasses.replace(memory.calls[1], prompt=Prompt(ask=99))
    with pytest.raises(DatasetError, match=r"scenario 's2', call 1 \(yes_or_no\)"):
        build_sft([memory], DEFAULTS)


def test_a_history_that_leads_back_into_itself_is_refused() -> None:
    memory = desk_memory(2)
    memory.history[0] = (1, 0)
    with pytest.raises(DatasetError, match="scenario 's2': the recorded history is damaged"):
        build_sft([memory], DEFAULTS)


def test_lone_surrogates_do_not_stop_a_dataset() -> None:
    assert build_sft([short_memory("s", "h\ud800i", "a\udc00")], DEFAULTS).table["completion"][0].as_py() == "a�"


def test_a_stream_tells_its_report_first_and_holds_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autograms.datasets.buffer._ROWS_AT_ONCE", 7)
    memories = [*desk_memories(10), *desk_memories(5)]
    rows, whole = stream_sft(iter(memories), DEFAULTS), build_sft(memories, DEFAULTS)
    assert rows.report == whole.report
    assert rows.report.dropped["duplicate"] == 15
    batches = list(rows.batches)
    assert len(batches) > 1
    assert pa.Table.from_batches(batches, rows.schema).equals(whole.table)


def test_pandas_reads_stored_rows(tmp_path: Path) -> None:
    table = build_dpo(desk_memories(5), DEFAULTS).table
    pq.write_table(table, tmp_path / "dpo.parquet", compression="zstd")
    frame = pd.read_parquet(tmp_path / "dpo.parquet")
    assert list(frame["chosen"]) == table["chosen"].to_pylist()
    assert chat_messages(frame["prompt"][0]) == chat_messages(table["prompt"][0].as_py())
