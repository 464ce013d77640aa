"""Calls of tools in a record: as messages, and as people read them."""

import json

import pytest

from autograms.conversation.record import Call, Memory, Prompt, Turn
from autograms.conversation.tool_calls import (
    answer_message,
    offered_tools,
    readable,
    result_message,
    tool_calls_output,
)
from autograms.errors import RecordError

CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"n": 2, "at": "é"}'}}


def step(output=None, error=None):
    return Call("tool", "step", Prompt(), output, error=error)


def test_an_output_is_the_message_that_it_was_made_of():
    output = tool_calls_output("Wait.", [CALL])
    message = {"role": "assistant", "content": "Wait.", "tool_calls": [CALL]}
    assert answer_message("tool_calls", output) == message
    assert answer_message("tool_calls", tool_calls_output("", [CALL]))["content"] is None
    assert answer_message("text", output) == {"role": "assistant", "content": output}


@pytest.mark.parametrize(
    "output", ["x", "[]", "{}", '{"content": null, "tool_calls": [{}]}', json.dumps({"content": 1, "tool_calls": 3})]
)
def test_an_output_that_is_none(output):
    with pytest.raises(RecordError, match="the record is damaged: calls of tools"):
        answer_message("tool_calls", output)


@pytest.mark.parametrize(
    ("made", "content"),
    [
        (step('"noon"'), "noon"),
        (step('{"a": "é"}'), '{"a": "é"}'),
        (step("null"), "null"),
        (step("7"), "7"),
        (step(error="LookupError: none"), "Error: LookupError: none"),
        (step(error="ToolCallError: there is no tool"), "Error: there is no tool"),
    ],
)
def test_what_a_tool_gave(made, content):
    assert result_message("a", made) == {"role": "tool", "content": content, "tool_call_id": "a"}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "user", "content": "Hi"}, "Hi"),
        ({"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url"}]}, "see"),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, 'calls look(at="é", n=2)'),
        ({"role": "assistant", "content": "Wait.", "tool_calls": [CALL]}, 'Wait.\ncalls look(at="é", n=2)'),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "look", "arguments": "{torn"}}]},
            "calls look({torn)",
        ),
        ({"role": "assistant", "content": None}, ""),
    ],
)
def test_as_people_read_them(message, text):
    assert readable(message) == text


def test_a_transcript_leaves_out_what_a_supervisor_called():
    called = tool_calls_output(None, [CALL])
    calls = [
        Call("thought", "tool_calls", Prompt(), called, parent=3),
        step('"inside"'),
        Call("thought", "tool_calls", Prompt(), called),
        step('"outside"'),
    ]
    turns = [Turn("user", "a", 0), Turn("assistant", "b", 4), Turn("user", "c", 4), Turn("assistant", "d", 4)]
    memory = Memory(calls=calls, turns=turns)
    said = [(message["role"], message["content"]) for message in memory.transcript()]
    assert said == [
        *[("user", "a"), ("assistant", None), ("tool", "outside"), ("assistant", "b")],
        *[("user", "c"), ("assistant", "d")],
    ]


@pytest.mark.parametrize(
    ("params", "offered"), [(None, None), ('{"tools": []}', None), ('{"a": "tools"}', None), ('{"tools": [{}]}', [{}])]
)
def test_the_tools_that_were_offered(params, offered):
    assert offered_tools(params) == offered


@pytest.mark.parametrize("params", ['"tools"', '{"tools": 3}', '{"tools": ["x"]}', '{"tools"'])
def test_keywords_that_are_damaged(params):
    with pytest.raises(RecordError, match="the record is damaged: the keywords of a call"):
        offered_tools(params)
