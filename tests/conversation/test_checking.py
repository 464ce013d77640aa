"""Saved memories from anywhere: a clear error, and neither a hang nor a wrong conversation."""

import contextlib
import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograms.conversation.checking import check
from autograms.conversation.record import Memory
from autograms.conversation.saved import dumps, loads
from autograms.errors import AutogramsError, RecordError
from tests.programs import bot, talk

PROGRAM = """
def sup(text, **options):
    return SupervisorReturn("good", score=1.0, rejected_output="bad", tags=["t"])

@autograms_function()
def chatbot(name="x"):
    set_system_prompt(f"for {name}")
    while True:
        step(str.upper, "a")
        thought("think", supervisor=sup, temperature=0.5)
        if yes_or_no("so?"):
            reply_instruction("answer", data={"a": 1})
        reply(str(generate_list("list")))
"""


def answer(request):
    return request.choices[0] if request.choices else {"data": ["a"]} if request.kind == "object" else "said"


BOT = bot(PROGRAM, answer, supervisor_mode=True)
SAVED = json.loads(BOT.serialize(talk(BOT, [None, "one", "two", "three"], name="Ann")[1]))


def test_the_example_resumes():
    assert talk(BOT, ["four"], loads(json.dumps(SAVED)))[0] == ["said"]


@pytest.mark.parametrize("size", range(0, 3000, 97))
def test_truncated(size):
    with pytest.raises(RecordError, match="not a saved memory"):
        loads(json.dumps(SAVED)[:size])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["version"], 2),
        (["version"], "1"),
        (["version"], 0),
        (["seed"], "x"),
        (["status"], None),
        (["extra"], 1),
        (["live"], {"a": 1}),
        (["busy"], True),
        (["calls"], []),
        (["calls", "count"], 10**9),
        (["calls", "count"], -1),
        (["calls", "count"], "x"),
        (["calls", "surprise"], ["x"]),
        (["calls", "output"], ["x"]),
        (["calls", "output"], None),
        (["calls", "kind"], {"of": [], "at": [0] * 15}),
        (["calls", "kind"], {"of": ["text"], "at": [-1] * 15}),
        (["calls", "tags"], {"of": [[5]], "at": [0] * 15}),
        (["calls", "parent"], {"of": [99], "at": [0] * 15}),
        (["calls", "prompt", "ask"], {"of": [10**9], "at": [0] * 15}),
        (["calls", "prompt", "last"], {"of": [-5], "at": [0] * 15}),
        (["calls", "prompt", "system"], {"of": ["x"], "at": [0] * 15}),
        (["calls", "prompt"], None),
        (["turns", "role"], {"of": ["robot"], "at": [0] * 8}),
        (["turns", "after"], {"of": [10**9], "at": [0] * 8}),
        (["turns", "kwargs"], {"of": ["{"], "at": [0] * 8}),
        (["turns", "kwargs"], {"of": ["[1]"], "at": [0] * 8}),
        (["messages", "content"], {"of": [5], "at": [0] * 20}),
        (["messages"], {"count": 0}),
        (["history", "parent", 0], 0),
        (["history", "parent", 1], 5),
        (["history", "message", 0], 10**9),
        (["history", "message", 0], True),
    ],
)
def test_damaged(path, value):
    data = copy.deepcopy(SAVED)
    place = data
    for key in path[:-1]:
        place = place[key]
        if isinstance(place, dict) and "at" in place and isinstance(path[-1], int):
            place = place["at"]
    place[path[-1]] = value
    with pytest.raises(RecordError, match=r"damaged|schema version"):
        BOT.reply("four", loads(json.dumps(data)))


def nodes(value, path=()):
    """Yield the path of every value in a JSON value."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from nodes(value[key], (*path, key))


PATHS = list(nodes(SAVED))[1:]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 40), st.text(max_size=3), st.just([]), st.just({}), st.just(2**70)
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(PATHS), VALUES), min_size=1, max_size=3))
def test_anything_changed_is_resumed_or_refused(changes):
    data = copy.deepcopy(SAVED)
    for path, value in changes:
        try:
            place = data
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue
    text = json.dumps(data)
    with contextlib.suppress(AutogramsError):
        BOT.reply("four", loads(text))


def test_a_memory_from_elsewhere_is_checked_where_it_is_used():
    memory = Memory(history=[(0, 0)], messages=[("user", "x", None)])
    with pytest.raises(RecordError, match="a node stands before"):
        BOT.reply("x", memory)
    sound = loads(dumps(Memory()))
    check(sound)
    assert sound.checked
