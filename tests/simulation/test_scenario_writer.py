import json

import pytest

from autograms.errors import OutputError, ScenarioError
from autograms.models import ScriptedModel
from autograms.simulation.scenario_writer import Commission, write_scenarios
from autograms.simulation.scenarios import scenarios_from_rows

WISHES = [f"I want to {verb} my {thing} now" for verb in ("return", "find", "pay for") for thing in ("ring", "boat")]


class Author:
    """Writes the wishes in turn, each twice."""

    def __init__(self):
        self.told = 0

    def __call__(self, request):
        if "personas" in request.schema["properties"]:
            return {"personas": ["Ann, 70, patient", "Bo, 20, in a hurry", "Ann, 70, patient"]}
        first = self.told
        self.told += 2
        return {
            "scenarios": [{"wish": WISHES[number // 2 % len(WISHES)]} for number in range(2 * first, 2 * first + 4)]
        }


def test_scenarios_are_written_without_repeats():
    model = ScriptedModel(Author())
    written = write_scenarios(model, Commission("a shop", 5, fields=("wish",), num_turns=3, user_goes_first=True))
    assert [each.user_kwargs for each in written.scenarios] == [{"wish": wish} for wish in WISHES[:5]]
    assert {(each.num_turns, each.user_goes_first) for each in written.scenarios} == {(3, True)}
    assert (written.calls, written.repeats) == (3, 5)
    assert len({each.seed for each in written.scenarios}) == 5


def test_the_calls_have_seeds_and_see_what_is_written():
    model = ScriptedModel(Author())
    write_scenarios(model, Commission("a shop", 4, fields=("wish",), seed=7))
    assert [request.params["seed"] for request in model.requests] == [7, 8]
    assert WISHES[0] not in model.requests[0].messages[-1]["content"]
    assert WISHES[0] in model.requests[1].messages[-1]["content"]


def test_the_same_seed_writes_the_same():
    commission = Commission("a shop", 5, fields=("wish",), seed=3)
    assert write_scenarios(ScriptedModel(Author()), commission) == write_scenarios(ScriptedModel(Author()), commission)


def test_a_model_that_repeats_itself_ends_the_writing():
    written = write_scenarios(
        ScriptedModel(lambda request: {"scenarios": [{"wish": "the same"}]}), Commission("x", 9, ("wish",))
    )
    assert (len(written.scenarios), written.calls) == (1, 4)


def test_fields_and_manner_come_from_examples():
    examples = tuple(scenarios_from_rows([{"user_kwargs": {"wish": WISHES[0]}}]))
    model = ScriptedModel(Author())
    written = write_scenarios(model, Commission("a shop", 2, examples=examples))
    assert WISHES[0] in model.requests[0].messages[-1]["content"]
    assert WISHES[0] not in [each.user_kwargs["wish"] for each in written.scenarios]


def test_personas_are_written_first_and_kept():
    model = ScriptedModel(Author())
    written = write_scenarios(model, Commission("a shop", 4, fields=("persona", "wish"), personas=2))
    assert written.personas == ["Ann, 70, patient", "Bo, 20, in a hurry"]
    assert {each.user_kwargs["persona"] for each in written.scenarios} == set(written.personas)
    assert all(set(each.user_kwargs) == {"persona", "wish"} for each in written.scenarios)


def test_without_fields_or_examples_nothing_is_asked():
    model = ScriptedModel()
    with pytest.raises(ScenarioError, match="--fields"):
        write_scenarios(model, Commission("a shop", 4))
    assert model.requests == []


def test_an_answer_of_another_form_is_an_error():
    wrong = ScriptedModel(lambda request: json.dumps({"scenarios": [{"wosh": "x"}]}))
    with pytest.raises(OutputError, match="form"):
        write_scenarios(wrong, Commission("x", 1, ("wish",)))


def test_one_malformed_batch_ends_nothing():
    author = Author()
    calls = []

    def answer(request):
        calls.append(request)
        return "no JSON" if len(calls) == 2 else author(request)

    written = write_scenarios(ScriptedModel(answer), Commission("a shop", 5, fields=("wish",)))
    assert len(written.scenarios) == 5
    assert written.calls == len(calls) == 4
