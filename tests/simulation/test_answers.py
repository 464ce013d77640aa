"""By what an answer is found again, and which are there."""

import functools
import os
import subprocess
import sys

import pytest

from autograms.models import Reply
from autograms.simulation.answers import Answers, Recovered, step_key

TEMPLATE = """
def weather(place, unit="C", *, form={form}):
    inner = lambda value: value + {inner}
    return f"{{inner(1)}} {{place}} {constant}"
"""


def made(form="1", inner="1", constant="sunny"):
    names = {}
    exec(TEMPLATE.format(form=form, inner=inner, constant=constant), names)
    return names["weather"]


def key(function, *args):
    return step_key("chatbot", functools.partial(function, *args))


def test_the_same_step_has_the_same_key():
    assert key(made(), "Rome") == key(made(), "Rome")


@pytest.mark.parametrize("change", [{"form": "2"}, {"inner": "2"}, {"inner": "1.0"}, {"constant": "wet"}])
def test_another_step_has_another_key(change):
    assert key(made(), "Rome") != key(made(**change), "Rome")


def test_arguments_and_enclosed_values_are_part_of_a_step():
    def enclosing(city):
        return lambda: f"weather of {city}"

    assert key(made(), "Rome") != key(made(), "Paris")
    assert key(made(), 1) != key(made(), "1")
    assert key(enclosing("Rome")) != key(enclosing("Paris"))
    assert key(enclosing("Rome")) == key(enclosing("Rome"))


def test_what_is_no_plain_data_is_not_reused():
    class Counter:
        def next(self):
            return 1

    opened = object()
    assert key(Counter().next) is None
    assert key(lambda: opened) is None
    assert key(made(), object()) is None


IN_ANOTHER_PROCESS = """
import functools
from autograms.simulation.answers import step_key

def weather(place):
    return place in {"Rome", "Paris", "Oslo", "Bern", "Lima"} or (place, 1) in {("a", 2), ("b", 3)}

print(step_key("chatbot", functools.partial(weather, "Rome")))
"""


def test_a_step_has_the_same_key_in_every_process():
    def key_with(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert len({key_with(seed) for seed in ("1", "2", "3")}) == 1


@pytest.mark.parametrize("value", [2**70, "\ud800", {3: 2**70}, float("nan")])
def test_any_plain_data_has_a_key(value):
    assert key(made(), value) == key(made(), value)
    assert key(made(), value) != key(made(), "Rome")


def entries(*numbered):
    return [{"scenario": "s", "request": "r", "number": n, "text": text, "model": "m"} for n, text in numbered]


def test_what_a_lost_process_paid_for_stands_behind_what_was_there():
    answers = Answers(journal=entries((0, "zero")))
    answers.recover(entries((2, "two"), (1, "one"), (2, "paid twice")))
    assert [(reply.text, type(reply)) for reply in answers.of("s")["r"]] == [
        ("zero", Reply),
        ("one", Recovered),
        ("two", Recovered),
    ]


def test_the_answers_of_some_scenarios_hold_those_of_their_branches():
    names = ("a", "b", "a/1.1@openai/small", "ab", "b/2.1")
    journal = [{"scenario": name, "request": "r", "text": name, "model": "m"} for name in names]
    assert [name for name, _, _ in Answers(journal=journal).part(["a"])] == ["a", "a/1.1@openai/small"]
