from __future__ import annotations

import pytest

from autograms.datasets import build_dpo, build_sft
from autograms.datasets.lineage import find_origin, find_row
from autograms.errors import DatasetError
from autograms.settings import DatasetSettings
from tests.memories import desk_memories, desk_memory

DEFAULTS = DatasetSettings()


@pytest.mark.parametrize("build", [build_sft, build_dpo])
def test_every_row_leads_back_to_its_call(build: object) -> None:
    memories = desk_memories(6)
    rows = (build_sft if build is build_sft else build_dpo)(memories, DEFAULTS).table
    for row in rows.to_pylist():
        origin = find_origin(iter(memories), row)
        assert origin.memory is memories[origin.number]
        assert origin.call.output == row.get("completion", row.get("chosen"))
        assert origin.memory.scenario == row["scenario"]


def test_of_two_conversations_of_a_scenario_the_right_one_is_found() -> None:
    memories = [desk_memory(1, product="lamp"), desk_memory(1, product="tent")]
    rows = build_sft(memories, DEFAULTS).table.to_pylist()
    found = {row["completion"]: find_origin(memories, row).number for row in rows}
    assert found["We regret that your lamp broke."] == 0
    assert found["We regret that your tent broke."] == 1


def test_a_row_is_found_by_the_beginning_of_its_id() -> None:
    table = build_sft(desk_memories(3), DEFAULTS).table
    for row in table.to_pylist():
        assert find_row(table, row["id"]) == row
        assert find_row(table, row["id"][:12]) == row
    assert find_row(table, "no such row") is None


def test_an_ambiguous_id_is_refused() -> None:
    table = build_sft(desk_memories(30), DEFAULTS).table
    with pytest.raises(DatasetError, match="rows begin with ''"):
        find_row(table, "")


def test_conversations_that_were_simulated_again_are_named() -> None:
    row = build_sft([desk_memory(1)], DEFAULTS).table.to_pylist()[1]
    with pytest.raises(DatasetError, match=r"scenario 's1', holds row .* simulated again"):
        find_origin([desk_memory(1, product="tent"), desk_memory(2)], row)
