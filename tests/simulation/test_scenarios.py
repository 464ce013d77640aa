import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograms.errors import ScenarioError
from autograms.simulation.scenarios import load_scenarios, plain_scenarios, scenarios_from_rows


def test_rows_become_scenarios():
    first, second = scenarios_from_rows(
        [{"num_turns": 3, "chatbot_kwargs": {"tag": "A"}, "user_kwargs": {}}, {"user_goes_first": True, "seed": 7}]
    )
    assert (first.num_turns, first.chatbot_kwargs, first.user_goes_first) == (3, {"tag": "A"}, False)
    assert (second.num_turns, second.user_goes_first, second.seed) == (2, True, 7)


def test_a_key_stays_where_its_row_moves():
    rows = [{"chatbot_kwargs": {"tag": tag}} for tag in "ABC"]
    keys = [scenario.key for scenario in scenarios_from_rows(rows)]
    moved = [scenario.key for scenario in scenarios_from_rows(list(reversed(rows)))]
    assert keys == list(reversed(moved))
    assert len(set(keys)) == 3


def test_equal_rows_get_keys_and_seeds_of_their_own():
    scenarios = scenarios_from_rows([{}, {}, {}])
    assert len({scenario.key for scenario in scenarios}) == 3
    assert len({scenario.seed for scenario in scenarios}) == 3


def test_the_base_seed_changes_the_seeds():
    assert plain_scenarios(2, num_turns=1, seed=0) != plain_scenarios(2, num_turns=1, seed=1)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"num_turns": 0}, ["scenario 2", "num_turns", "at least 1"]),
        ({"num_turns": "2"}, ["scenario 2", "num_turns", "whole number"]),
        ({"num_turn": 2}, ["scenario 2", "num_turn", "did you mean 'num_turns'"]),
        ({"chatbot_kwargs": []}, ["scenario 2", "chatbot_kwargs", "object"]),
        ({"user_goes_first": 1}, ["scenario 2", "user_goes_first", "true or false"]),
        ({"seed": 1.5}, ["scenario 2", "seed"]),
        ([], ["scenario 2", "expected an object"]),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, words):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps([{}, row]))
    with pytest.raises(ScenarioError) as error:
        load_scenarios(path)
    assert all(word in str(error.value) for word in [*words, "cases.json"])


@pytest.mark.parametrize(("text", "word"), [("{", "not valid JSON"), ("{}", "list"), ("[]", "empty")])
def test_a_bad_file_is_named(tmp_path, text, word):
    path = tmp_path / "cases.json"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=word):
        load_scenarios(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"no scenario list at .*gone\.json"):
        load_scenarios(tmp_path / "gone.json")


@given(st.lists(st.fixed_dictionaries({"chatbot_kwargs": st.dictionaries(st.text(max_size=3), st.integers())})))
def test_keys_are_unique_and_stable(rows):
    scenarios = scenarios_from_rows(rows)
    assert len({scenario.key for scenario in scenarios}) == len(rows)
    assert scenarios == scenarios_from_rows(json.loads(json.dumps(rows)))
