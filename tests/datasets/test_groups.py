from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograms.conversation.record import Memory
from autograms.datasets import build_sft
from autograms.datasets.groups import Groups
from autograms.settings import DatasetSettings
from tests.memories import Recorder


def memory(scenario: str, **user: Any) -> Memory:
    recorder = Recorder(scenario=scenario, scenario_data=json.dumps({"num_turns": 2, "user_kwargs": user}))
    recorder.say("user", f"This is {scenario}.")
    recorder.call("reply_instruction", "Answer.", f"Good day, {scenario}.")
    return recorder.memory


def sides(memories: list[Memory], **settings: Any) -> dict[str, str]:
    rows = build_sft(memories, DatasetSettings(**settings)).table.to_pylist()
    return {row["scenario"]: row["split"] for row in rows}


def test_a_persona_stands_on_one_side() -> None:
    memories = [memory(f"s{i}", persona=f"p{i % 7}") for i in range(70)]
    split = sides(memories, group_by=["user_kwargs.persona"], validation_fraction=0.4)
    of_persona = [{split[f"s{i}"] for i in range(70) if i % 7 == persona} for persona in range(7)]
    assert all(len(found) == 1 for found in of_persona)
    assert {"train", "validation"} == set().union(*of_persona)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=25), st.sampled_from([0.2, 0.5]))
def test_no_value_of_any_field_stands_on_both_sides(drawn: list[tuple[int, int]], fraction: float) -> None:
    memories = [memory(f"s{i}", persona=persona, order=[order]) for i, (persona, order) in enumerate(drawn)]
    fields = ["user_kwargs.persona", "user_kwargs.order"]
    split = sides(memories, group_by=fields, validation_fraction=fraction)
    for field in (0, 1):
        for value in range(7):
            assert len({split[f"s{i}"] for i, row in enumerate(drawn) if row[field] == value}) <= 1


def test_new_scenarios_of_other_personas_move_no_old_one() -> None:
    memories = [memory(f"s{i}", persona=f"p{i}") for i in range(60)]
    old = sides(memories[:40], group_by=["user_kwargs.persona"])
    assert sides(memories, group_by=["user_kwargs.persona"]).items() >= old.items()


def test_the_report_counts_joined_groups() -> None:
    memories = [memory("a", persona=1, order=1), memory("b", persona=1, order=2), memory("c", persona=2, order=3)]
    fields = ["user_kwargs.persona", "user_kwargs.order"]
    report = build_sft(memories, DatasetSettings(group_by=fields)).report
    assert (report.groups, report.held_out_groups) == (2, 1)


def test_fields_that_link_everything_are_noted() -> None:
    memories = [memory("a", persona=1, order=1), memory("b", persona=1, order=2), memory("c", persona=2, order=2)]
    report = build_sft(memories, DatasetSettings(group_by=["user_kwargs.persona", "user_kwargs.order"])).report
    assert any("are linked by user_kwargs.persona, user_kwargs.order" in note for note in report.notes)


def test_conversations_without_the_field_stand_with_their_scenario() -> None:
    memories = [memory("a"), memory("a"), memory("b", persona=None)]
    groups = Groups(DatasetSettings(group_by=["user_kwargs.persona"]))
    assert [groups.add(each) for each in memories] == [0, 0, 1]


def test_a_field_that_no_scenario_has_is_noted() -> None:
    report = build_sft([memory("a", persona=1)], DatasetSettings(group_by=["user_kwargs.perosna"])).report
    assert "no scenario has the field 'user_kwargs.perosna', which group_by names" in report.notes


def test_scenarios_are_held_out_by_name() -> None:
    memories = [memory(f"s{i}", persona="angry" if i % 4 == 0 else "kind") for i in range(20)]
    split = sides(memories, hold_out={"user_kwargs.persona": ["angry"]}, validation_fraction=0)
    assert {name for name, side in split.items() if side == "validation"} == {f"s{i}" for i in range(0, 20, 4)}


def test_held_out_scenarios_stay_so_where_nothing_else_would_train() -> None:
    memories = [memory(f"s{i}", persona="angry") for i in range(4)]
    assert set(sides(memories, hold_out={"user_kwargs.persona": ["angry"]}).values()) == {"validation"}


def test_a_value_that_no_scenario_has_is_noted() -> None:
    report = build_sft([memory("a", n=1)], DatasetSettings(hold_out={"user_kwargs.n": [1, 2]})).report
    assert [note for note in report.notes if "hold_out" in note] == [
        "no scenario has 2 as 'user_kwargs.n', which hold_out names"
    ]


@pytest.mark.parametrize("data", [None, "", "no json", "[]", '{"user_kwargs": 3}'])
def test_scenarios_without_fields(data: str | None) -> None:
    plain = memory("a")
    plain.scenario_data = data
    assert sides([plain], group_by=["user_kwargs.persona"], validation_fraction=0) == {"a": "train"}
