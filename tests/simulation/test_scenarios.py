import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograms.errors import ScenarioError
from autograms.simulation.scenarios import load_scenarios, plain_scenarios, sample_scenarios, scenarios_from_rows


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


def written(path, rows):
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["num_turns", "user_goes_first", "chatbot_kwargs.tone", "intent", "user_kwargs.product"])
            for row in rows:
                user = row["user_kwargs"]
                table.writerow([3, "true", row["chatbot_kwargs"]["tone"], user["intent"], user["product"]])
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


ROWS = [
    {
        "num_turns": 3,
        "user_goes_first": True,
        "chatbot_kwargs": {"tone": "warm"},
        "user_kwargs": {"intent": intent, "product": "the red, round one"},
    }
    for intent in ("refund", "order")
]


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet"])
def test_every_format_gives_the_same_scenarios(tmp_path, suffix):
    assert load_scenarios(written(tmp_path / f"cases.{suffix}", ROWS)) == scenarios_from_rows(ROWS)


def test_a_grid_is_crossed(tmp_path):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"intent": ["refund", "order"], "chatbot_kwargs.tone": ["warm", "cool"]}))
    found = load_scenarios(path)
    assert [(each.user_kwargs["intent"], each.chatbot_kwargs["tone"]) for each in found] == [
        ("refund", "warm"),
        ("refund", "cool"),
        ("order", "warm"),
        ("order", "cool"),
    ]


def test_a_grid_keeps_what_all_its_rows_have():
    row = {"grid": {"intent": ["refund", "order"]}, "num_turns": 4, "user_kwargs": {"name": "Ann"}}
    found = scenarios_from_rows([row, {}])
    assert [(each.num_turns, each.user_kwargs) for each in found] == [
        (4, {"name": "Ann", "intent": "refund"}),
        (4, {"name": "Ann", "intent": "order"}),
        (2, {}),
    ]


@pytest.mark.parametrize("grid", [{}, {"intent": "refund"}, {"intent": []}, 3])
def test_a_bad_grid_is_named(grid):
    with pytest.raises(ScenarioError, match="grid"):
        scenarios_from_rows([{"grid": grid}])


def test_wrong_rows_are_left_out_only_where_asked(tmp_path):
    path = written(tmp_path / "cases.jsonl", [{}, {"num_turns": 0}, {"grid": 1}, {"seed": 5}])
    with pytest.raises(ScenarioError):
        load_scenarios(path)
    told = []
    assert len(load_scenarios(path, on_bad=told.append)) == 2
    assert ["scenario 2" in str(told[0]), "grid" in str(told[1])] == [True, True]


def test_a_file_of_wrong_rows_is_an_error_in_any_case(tmp_path):
    path = written(tmp_path / "cases.jsonl", [{"num_turns": 0}])
    with pytest.raises(ScenarioError, match="every row is wrong"):
        load_scenarios(path, on_bad=lambda error: None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cases.jsonl", b'{}\n{"num_turns": \n', "line 2"),
        ("cases.csv", b"num_turns\nmany\n", "scenario 1: num_turns is 'many'"),
        ("cases.csv", b"intent\nrefund,order\n", "more cells than columns"),
        ("cases.csv", b"user_goes_first\nperhaps\n", "expected true or false"),
        ("cases.csv", b"intent\n\xff\xfe\n", "cannot be read"),
        ("cases.parquet", b"PAR1 no more", "no Parquet file"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=words):
        load_scenarios(path)


def test_a_sample_is_drawn_by_key():
    scenarios = scenarios_from_rows([{"user_kwargs": {"n": n}} for n in range(100)])
    sample = sample_scenarios(scenarios, 20, seed=1)
    assert len(sample) == 20
    assert sample == sample_scenarios(scenarios, 20, seed=1) != sample_scenarios(scenarios, 20, seed=2)
    fewer = sample_scenarios(scenarios[:90], 20, seed=1)
    assert len({each.key for each in sample} & {each.key for each in fewer}) >= 15
    assert sample_scenarios(scenarios[:5], 20) == scenarios[:5]
