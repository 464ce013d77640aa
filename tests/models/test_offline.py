from __future__ import annotations

import asyncio
import enum
import json
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, create_model

from autograms.errors import ModelNameError, OutputError
from autograms.models import OfflineModel, Reply, Request
from autograms.models.offline import smallest


def complete(request: Request) -> Reply:
    return asyncio.run(OfflineModel().complete(request))


def asked(*texts: str, **options: Any) -> Request:
    return Request(options.pop("kind", "text"), [{"role": "user", "content": text} for text in texts], **options)


@given(st.text())
def test_texts_say_what_they_are(text: str) -> None:
    assert complete(asked(text)).text.startswith("(offline demo) ")


@given(st.text(), st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_the_same_request_gets_the_same_answer(text: str, choices: list[str]) -> None:
    request = asked(text, kind="choice", choices=tuple(choices))
    first = complete(request)
    assert first == complete(request)
    assert first.text in choices
    assert first.probabilities is not None
    assert sum(first.probabilities) == pytest.approx(1.0)
    assert choices[first.probabilities.index(max(first.probabilities))] == first.text


def test_requests_get_different_texts() -> None:
    assert len({complete(asked(f"text {number}")).text for number in range(40)}) > 3


def test_usage_counts_words_and_costs_nothing() -> None:
    reply = complete(asked("one two", "three"))
    assert (reply.input_tokens, reply.output_tokens, reply.cost_usd) == (3, len(reply.text.split()), 0.0)
    assert reply.model == "offline/demo"


@pytest.mark.parametrize("separate", [True, False])
def test_a_choice_that_shares_words_with_the_user_is_preferred(separate: bool) -> None:
    said = "My refund has not come yet."
    question = "What is it about?\nAnswer with one of these, word for word:\n- a parcel\n- a refund\n- a password"
    texts = (said, question) if separate else (f"{said}\n\n{question}",)
    assert complete(asked(*texts, kind="choice", choices=("a parcel", "a refund", "a password"))).text == "a refund"


def test_parts_of_a_message_are_read() -> None:
    parts = [{"type": "text", "text": "two words"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert complete(Request("text", [{"role": "user", "content": parts}])).input_tokens == 2


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


class Leaf(BaseModel):
    word: str = Field(min_length=2, max_length=40)
    size: float = Field(gt=0.5, le=0.75)


class Tree(BaseModel):
    leaf: Leaf
    children: list[Tree]


FIELDS = st.sampled_from(
    [
        str,
        int,
        float,
        bool,
        Colour,
        Leaf,
        Tree,
        list[int],
        list[Leaf],
        dict[str, int],
        int | None,
        Literal["a", "b"],
        list[Literal["x"]],
        str | Leaf,
        tuple[int, str],
    ]
)


@given(st.dictionaries(st.sampled_from("abcdefgh"), FIELDS, min_size=1))
def test_objects_follow_their_schema(fields: dict[str, Any]) -> None:
    model = create_model("Answer", **{name: (kind, ...) for name, kind in fields.items()})  # type: ignore[call-overload]
    reply = complete(asked("x", kind="object", schema=model.model_json_schema()))
    model.model_validate_json(reply.text)


@given(st.integers(-1000, 1000), st.integers(0, 50), st.integers(1, 7))
def test_whole_numbers_keep_their_limits(low: int, width: int, step: int) -> None:
    high = low + width
    fitting = [number for number in range(low, high + 1) if number % step == 0]
    schema = {"type": "integer", "minimum": low, "maximum": high, "multipleOf": step}
    if fitting:
        assert smallest(schema) in fitting
    else:
        with pytest.raises(OutputError):
            smallest(schema)


@given(st.floats(-1e6, 1e6), st.floats(0.001, 100))
def test_numbers_keep_their_open_limits(low: float, width: float) -> None:
    value = smallest({"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + width})
    assert low < value < low + width
    assert math.isfinite(value)


@given(st.integers(0, 60), st.integers(0, 60))
def test_texts_keep_their_lengths(least: int, more: int) -> None:
    text = smallest({"type": "string", "minLength": least, "maxLength": least + more})
    assert least <= len(text) <= least + more


@given(st.integers(0, 4), st.integers(0, 4))
def test_lists_keep_their_lengths(least: int, more: int) -> None:
    schema = {"type": "array", "items": {"type": "string"}, "minItems": least, "maxItems": least + more}
    values = TypeAdapter(list[str]).validate_python(smallest({**schema, "uniqueItems": True}))
    assert least <= len(values) <= least + more
    assert len(set(values)) == len(values)


def test_texts_in_objects_say_what_they_are() -> None:
    schema = {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]}
    assert json.loads(complete(asked("x", kind="object", schema=schema)).text) == {"reason": "(offline demo) reason"}


def test_allof_is_joined() -> None:
    part = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
    whole = {"allOf": [{"$ref": "#/$defs/A"}, part], "$defs": {"A": {"properties": {"a": {"const": 1}}}}}
    assert smallest(whole)["b"] == 0


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[0-9]{3}$"},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"type": "number", "minimum": 2, "maximum": 1},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {"anyOf": []},
        {"type": "object", "required": ["a"], "properties": {"a": False}},
    ],
)
def test_what_it_cannot_answer_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(OutputError):
        smallest(schema)


def test_embeddings_are_near_for_like_texts() -> None:
    first, like, other = asyncio.run(
        OfflineModel().embed(["where is my parcel", "my parcel, where is it", "tax forms for authors"])
    )
    assert sum(a * a for a in first) == pytest.approx(1.0)
    assert sum(a * b for a, b in zip(first, like, strict=True)) > sum(a * b for a, b in zip(first, other, strict=True))


def test_there_is_one_offline_model() -> None:
    with pytest.raises(ModelNameError, match="offline/demo"):
        OfflineModel("large")
