from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from autograms.conversation.record import Memory
from autograms.datasets import build_dpo, build_sft
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings
from tests.memories import Recorder

NEAR = DatasetSettings(near_duplicates=0.8, validation_fraction=0)
LONG = "I bought the blue lamp in your shop at the harbour last week, and since yesterday it does not shine any more"


def memory(
    scenario: str, said: str, answer: str = "We are sorry, and send you another lamp.", *rejected: str, **call: Any
) -> Memory:
    recorder = Recorder(scenario=scenario)
    recorder.set_system("You answer customers. " * 20)
    recorder.say("user", said)
    recorder.call("reply_instruction", "Answer.", answer, rejected=rejected, supervised=True, **call)
    return recorder.memory


def held_scenarios(memories: list[Memory], settings: DatasetSettings) -> set[str]:
    rows = build_sft(memories, settings.model_copy(update={"near_duplicates": None})).table.to_pylist()
    return {row["scenario"] for row in rows if row["split"] == "validation"}


def test_a_near_duplicate_goes_and_is_counted() -> None:
    built = build_sft([memory("a", LONG), memory("b", f"{LONG}!"), memory("c", "Where is my order?")], NEAR)
    assert built.table["scenario"].to_pylist() == ["a", "c"]
    assert built.report.dropped == {"near-duplicate": 1}


def test_without_the_setting_only_exact_duplicates_go() -> None:
    built = build_sft([memory("a", LONG), memory("b", f"{LONG}!")], DatasetSettings(validation_fraction=0))
    assert len(built.table) == 2


def test_the_threshold_decides() -> None:
    memories = [memory("a", LONG), memory("b", LONG.replace("blue lamp", "green kettle").replace("week", "month"))]
    kept = [
        len(build_sft(memories, DatasetSettings(near_duplicates=near, validation_fraction=0)).table)
        for near in (0.5, 0.95, 1.0)
    ]
    assert kept == [1, 2, 2]


def test_exact_duplicates_are_counted_as_such() -> None:
    report = build_sft([memory("a", LONG), memory("b", LONG), memory("c", f"{LONG}!")], NEAR).report
    assert report.dropped == {"duplicate": 1, "near-duplicate": 1}


def test_a_long_system_prompt_makes_nothing_alike() -> None:
    assert len(build_sft([memory("a", "Hello"), memory("b", "Where is it?")], NEAR).table) == 2


def test_texts_without_spaces_are_compared() -> None:
    said = "我上周在你们的港口商店买了一盏蓝色的灯从昨天开始它就不亮了请问该怎么办才好呢"
    assert len(build_sft([memory("a", said), memory("b", said + "啊")], NEAR).table) == 1


def test_decisions_with_other_answers_are_kept() -> None:
    yes = memory("a", LONG, "Yes", kind="choice", choices=("Yes", "No"))
    no = memory("b", f"{LONG}!", "No", kind="choice", choices=("Yes", "No"))
    again = memory("c", f"{LONG}!!", "Yes", kind="choice", choices=("Yes", "No"))
    assert build_sft([yes, no, again], NEAR).table["completion"].to_pylist() == ["Yes", "No"]


def test_calls_of_one_conversation_are_not_compared() -> None:
    recorder = Recorder(scenario="a")
    recorder.say("user", LONG)
    for number in range(3):
        recorder.call("reply_instruction", "Answer.", f"We are sorry, and send you lamp {number}.")
    assert len(build_sft([recorder.memory], NEAR).table) == 3


def test_what_is_near_a_held_out_call_does_not_train() -> None:
    settings = DatasetSettings(near_duplicates=0.8, validation_fraction=0.5)
    said = [" ".join(random.Random(i).choices(LONG.split(), k=30)) for i in range(8)]
    pairs = [memory(f"{side}{i}", f"{text} {side}") for i, text in enumerate(said) for side in ("left", "right")]
    held = held_scenarios(pairs, settings)
    split = [i for i in range(8) if (f"left{i}" in held) != (f"right{i}" in held)]
    assert split
    built = build_sft(pairs, settings)
    rows = {row["scenario"]: row["split"] for row in built.table.to_pylist()}
    for i in split:
        first, second = sorted((f"left{i}", f"right{i}"), key=lambda name: name not in held)
        assert rows[first] == "validation"
        assert second not in rows
    assert built.report.dropped["near-duplicate of a held-out call"] == len(split)


def test_pairs_follow_what_sft_holds_out() -> None:
    """A pair that is near a held-out SFT row trains nowhere, though that row has no rejected answer itself."""
    settings = DatasetSettings(near_duplicates=0.8, validation_fraction=0, hold_out={"user_kwargs.who": ["tester"]})
    held = memory("held", LONG)
    held.scenario_data = '{"user_kwargs": {"who": "tester"}}'
    built = build_dpo([held, memory("near", f"{LONG}!", "We are sorry, and send you another lamp.", "no")], settings)
    assert built.table.num_rows == 0
    assert built.report.dropped["near-duplicate of a held-out call"] == 1


def test_a_call_without_pairs_keeps_no_pair_out() -> None:
    built = build_dpo([memory("a", LONG), memory("b", f"{LONG}!", "We are sorry, and send you a lamp.", "no")], NEAR)
    assert built.table["scenario"].to_pylist() == ["b"]


def test_the_library_is_imported_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    assert len(build_sft([memory("a", LONG)], DatasetSettings()).table) == 1
    with pytest.raises(DatasetError, match="pip install datasketch"):
        build_sft([memory("a", LONG)], NEAR)
