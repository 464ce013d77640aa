from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autograms.conversation.record import Memory, Turn
from autograms.datasets.split import TRAIN, VALIDATION, group_key, split_groups

groups = st.dictionaries(st.text(max_size=6), st.booleans(), max_size=30)
fractions = st.floats(0.001, 0.999)
seeds = st.integers(0, 5)


@given(groups, fractions, seeds)
def test_both_sides_have_a_group_where_there_are_two(names: dict[str, bool], fraction: float, seed: int) -> None:
    sides = split_groups(names, fraction=fraction, seed=seed)
    assert set(sides) == set(names)
    if len(names) >= 2:
        assert set(sides.values()) == {TRAIN, VALIDATION}


@given(groups, fractions, seeds)
def test_groups_with_pairs_stand_on_both_sides(names: dict[str, bool], fraction: float, seed: int) -> None:
    sides = split_groups(names, fraction=fraction, seed=seed)
    paired = [sides[name] for name, has_pairs in names.items() if has_pairs]
    if len(paired) >= 2:
        assert set(paired) == {TRAIN, VALIDATION}


@given(groups, fractions, seeds)
def test_order_does_not_matter(names: dict[str, bool], fraction: float, seed: int) -> None:
    backwards = dict(reversed(names.items()))
    assert split_groups(names, fraction=fraction, seed=seed) == split_groups(backwards, fraction=fraction, seed=seed)


def test_new_scenarios_move_no_old_one() -> None:
    old = split_groups([f"s{i}" for i in range(200)], fraction=0.2, seed=0)
    new = split_groups([f"s{i}" for i in range(400)], fraction=0.2, seed=0)
    assert all(new[name] == side for name, side in old.items())


def test_the_share_and_the_seed_count() -> None:
    names = [f"s{i}" for i in range(2000)]
    first, second = (split_groups(names, fraction=0.2, seed=seed) for seed in (0, 1))
    assert 340 <= sum(side == VALIDATION for side in first.values()) <= 460
    assert first != second


def test_nothing_is_held_out_where_nothing_should_be() -> None:
    assert set(split_groups(["a", "b"], fraction=0, seed=0).values()) == {TRAIN}


def test_one_group_trains_or_not_by_its_place() -> None:
    assert split_groups(["a"], fraction=0.0001, seed=0) == {"a": TRAIN}


def test_groups_are_scenarios_or_what_was_said() -> None:
    said = [Turn("user", "hi", 0)]
    assert group_key(Memory(scenario="s")) == "s"
    assert group_key(Memory(turns=said)) == group_key(Memory(turns=said, seed=9))
    assert group_key(Memory(turns=said)) != group_key(Memory(turns=[Turn("user", "hey", 0)]))
