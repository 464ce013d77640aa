from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograms.conversation.checking import check
from autograms.conversation.elsewhere import Imported, read_chats
from autograms.conversation.record import Memory
from autograms.errors import RecordError

SYSTEM = {"role": "system", "content": "Be kind."}
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello."}
BYE = {"role": "user", "content": "Bye"}
SEE_YOU = {"role": "assistant", "content": "See you."}


def read(tmp_path: Path, *rows: Any, **options: Any) -> Imported:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = read_chats(path, **options)
    for memory in imported.memories:
        check(memory)
    return imported


def learned(memory: Memory) -> list[tuple[list[dict[str, Any]], str | None, tuple[str, ...]]]:
    return [(memory.prompt_messages(call.prompt), call.output, call.rejected) for call in memory.calls]


def test_messages_teach_every_answer(tmp_path: Path) -> None:
    (memory,) = read(tmp_path, {"messages": [SYSTEM, HI, HELLO, BYE, SEE_YOU]}).memories
    assert learned(memory) == [([SYSTEM, HI], "Hello.", ()), ([SYSTEM, HI, HELLO, BYE], "See you.", ())]
    assert memory.transcript() == [HI, HELLO, BYE, SEE_YOU]
    assert all(call.trains for call in memory.calls)


def test_or_the_last_answer_alone(tmp_path: Path) -> None:
    (memory,) = read(tmp_path, {"messages": [HI, HELLO, BYE, SEE_YOU]}, answers="last").memories
    assert learned(memory) == [([HI, HELLO, BYE], "See you.", ())]


def test_weights_count(tmp_path: Path) -> None:
    messages = [HI, {**HELLO, "weight": 0}, BYE, {**SEE_YOU, "weight": 1}]
    (memory,) = read(tmp_path, {"messages": messages}).memories
    assert learned(memory) == [([HI, HELLO, BYE], "See you.", ())]


def test_weights_of_other_forms_count(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello.", "weight": 0}]
    turns += [{"from": "human", "value": "Bye"}, {"from": "gpt", "value": "See you.", "weight": 1}]
    (memory,) = read(tmp_path, {"conversations": turns}).memories
    assert learned(memory) == [([HI, HELLO, BYE], "See you.", ())]
    (memory,) = read(tmp_path, {"prompt": [{**HI, "weight": 0}], "completion": [{**HELLO, "weight": 1}]}).memories
    assert learned(memory) == [([HI], "Hello.", ())]


def test_openai_preferences(tmp_path: Path) -> None:
    row = {
        "input": {"messages": [SYSTEM, HI], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [HELLO],
        "non_preferred_output": [{"role": "assistant", "content": "yo"}],
    }
    imported = read(tmp_path, row)
    assert learned(imported.memories[0]) == [([SYSTEM, HI], "Hello.", ("yo",))]
    assert not imported.ignored


def test_sharegpt(tmp_path: Path) -> None:
    said = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    rows = [
        {"conversations": said, "system": "Be kind."},
        {"conversations": [{"from": "system", "value": "Be kind."}, *said]},
        {"conversations": said[:1], "chosen": said[1], "rejected": {"from": "gpt", "value": "yo"}},
    ]
    found = [learned(memory) for memory in read(tmp_path, *rows).memories]
    assert found == [[([SYSTEM, HI], "Hello.", ())], [([SYSTEM, HI], "Hello.", ())], [([HI], "Hello.", ("yo",))]]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": [HI], "completion": [HELLO]}, ([HI], "Hello.", ())),
        ({"prompt": "Hi", "completion": "Hello."}, ([HI], "Hello.", ())),
        ({"prompt": [HI], "chosen": [HELLO], "rejected": [SEE_YOU]}, ([HI], "Hello.", ("See you.",))),
        ({"prompt": "Hi", "chosen": "Hello.", "rejected": "See you."}, ([HI], "Hello.", ("See you.",))),
        ({"chosen": [SYSTEM, HI, HELLO], "rejected": [SYSTEM, HI, SEE_YOU]}, ([SYSTEM, HI], "Hello.", ("See you.",))),
    ],
)
def test_trl(tmp_path: Path, row: dict[str, Any], expected: Any) -> None:
    assert learned(read(tmp_path, row).memories[0]) == [expected]


def test_messages_stay_as_they_were(tmp_path: Path) -> None:
    """Two of the user in a row, parts, tools, a developer's message, a system message in between."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    messages = [
        {"role": "developer", "content": "Be brief."}, HI, {**HI, "name": "Ada"}, BYE, call,
        {"role": "tool", "content": "4", "tool_call_id": "1"}, SYSTEM,
        {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {}}]},
    ]  # fmt: skip
    (memory,) = read(tmp_path, {"messages": [*messages, HELLO]}).memories
    assert learned(memory) == [(messages, "Hello.", ())]


roles = st.sampled_from(["system", "user", "assistant", "developer"])


@given(st.lists(st.tuples(roles, st.text(max_size=5)), max_size=6), st.text(max_size=5))
@settings(deadline=None)
def test_any_conversation_comes_back(tmp_path_factory: pytest.TempPathFactory, said: Any, answer: str) -> None:
    prompt = [{"role": role, "content": text} for role, text in said] or [HI]
    row = {"prompt": prompt, "completion": [{"role": "assistant", "content": answer}]}
    (memory,) = read(tmp_path_factory.mktemp("chats"), row).memories
    assert learned(memory) == [(prompt, answer, ())]


def test_tools_go_with_the_call(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "find"}}]
    (memory,) = read(tmp_path, {"messages": [HI, HELLO], "tools": tools}).memories
    assert json.loads(memory.calls[0].params or "") == {"tools": tools}


def test_a_json_list_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([{"messages": [HI, HELLO]}, {"messages": [BYE, SEE_YOU]}], indent=1))
    assert read_chats(path).answers == 2
    path.write_text(json.dumps({"messages": [HI, HELLO]}) + "\n\n")
    assert read_chats(path, name="desk").memories[0].autogram == "desk"


def test_where_a_conversation_stood_is_kept(tmp_path: Path) -> None:
    memories = read(tmp_path, {"messages": [HI, HELLO]}, {"messages": [BYE, SEE_YOU]}).memories
    assert json.loads(memories[1].scenario_data or "") == {"file": "chats.jsonl", "place": "line 2"}


def test_conversations_with_the_same_beginning_share_a_key(tmp_path: Path) -> None:
    rows = [
        {"prompt": [SYSTEM, {"role": "user", "content": "Hi\n\nAnswer kindly."}], "completion": [HELLO]},
        {"prompt": [SYSTEM, HI, HELLO, BYE], "completion": [SEE_YOU]},
        {"prompt": [SYSTEM, BYE], "completion": [SEE_YOU]},
    ]
    first, second, third = (memory.scenario for memory in read(tmp_path, *rows).memories)
    assert first == second != third


def test_unknown_fields_are_counted(tmp_path: Path) -> None:
    rows = [{"id": 1, "messages": [HI, HELLO]}, {"id": 2, "source": "x", "messages": [HI, HELLO]}]
    assert read(tmp_path, *rows).ignored == {"id": 2, "source": 1}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text": "Hi"}, "none of the known forms (fields: text)"),
        ({}, "none of the known forms (fields: none)"),
        ([1], "expected an object, found a list"),
        ({"messages": []}, "messages must be a list of messages"),
        ({"messages": [HI]}, "no assistant message holds a text"),
        ({"messages": [HI, {"role": "assistant", "content": None, "tool_calls": []}]}, "no assistant message holds"),
        ({"messages": [HI, {**HELLO, "weight": 0}]}, "no assistant message holds a text"),
        ({"messages": [HI, {**HELLO, "weight": 0.5}]}, "message 2 has the weight 0.5; expected 0 (context) or 1"),
        ({"messages": [HI, {**HELLO, "weight": True}]}, "message 2 has the weight True"),
        ({"messages": [{**HI, "weight": 1}, HELLO]}, "message 1 has the weight 1; only the assistant's messages"),
        ({"prompt": [HI], "completion": [{**HELLO, "weight": 0}]}, "the answer has weight 0"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "message 1 has no role"),
        ({"messages": [{"role": "user"}]}, "message 1 has no content"),
        ({"messages": [{"role": "user", "content": 3}]}, "message 1 has no content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "message 1: content must be a text or a list"),
        ({"messages": "Hi"}, "messages must be a list"),
        ({"conversations": [{"from": "alien", "value": "x"}]}, "a message is from 'alien'"),
        ({"conversations": [{"from": "human"}]}, "a message is no object"),
        ({"conversations": [{"from": [], "value": "x"}]}, "a message is from []"),
        ({"prompt": [HI], "completion": [HELLO, SEE_YOU]}, "an answer must be a text"),
        ({"prompt": [HI], "chosen": [HELLO], "rejected": 3}, "messages must be a list of messages"),
        ({"input": 3, "preferred_output": [HELLO]}, "messages must be a list"),
    ],
)
def test_anything_else_is_refused_by_its_line(tmp_path: Path, row: Any, problem: str) -> None:
    with pytest.raises(RecordError) as refused:
        read(tmp_path, {"messages": [HI, HELLO]}, row)
    assert f"line 2: {problem}" in str(refused.value)
    assert "nothing was imported" in str(refused.value)


def test_every_bad_line_is_named_up_to_twenty(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"line 1: [\s\S]*line 20: [\s\S]*and 10 more$"):
        read(tmp_path, *[{"x": 1}] * 30)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no conversations"),
        (b"{", "line 1: no JSON"),
        (b"[{]", "begins as a JSON list"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[" * 100_000, "begins as a JSON list"),
    ],
)
def test_files_that_hold_nothing_readable(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "chats.jsonl").write_bytes(content)
    with pytest.raises(RecordError, match=problem):
        read_chats(tmp_path / "chats.jsonl")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        read_chats(tmp_path / "none.jsonl")


def test_calls_of_tools_are_answers(tmp_path: Path) -> None:
    """In the chat API's own form, and in TRL's: arguments as mappings, no ids, tools as JSON text."""
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    function = {"name": "find", "arguments": '{"what": "tea"}'}
    called = {
        "role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}],
    }  # fmt: skip
    own = [HI, called, {"role": "tool", "content": "here", "tool_call_id": "a"}, HELLO]
    bare = {"role": "assistant", "tool_calls": [{"function": {"name": "find", "arguments": {"what": "tea"}}}]}
    trl = [HI, bare, {"role": "tool", "content": "here"}, HELLO]
    row = {"messages": own, "tools": tools}
    memories = read(tmp_path, row, {"messages": trl, "tools": json.dumps(tools)}).memories
    for memory, identity in zip(memories, ("a", "call_2_1"), strict=True):
        first, second = memory.calls
        assert (first.kind, second.kind, second.output) == ("tool_calls", "text", HELLO["content"])
        (made,) = first.value()["tool_calls"]
        assert (made["id"], made["type"], made["function"]) == (identity, "function", function)
        assert memory.prompt_messages(first.prompt) == [HI]
        shown = memory.prompt_messages(second.prompt)
        assert (shown[1]["content"], shown[1]["tool_calls"][0]["function"]) == (None, function)
        assert shown[2] == {"role": "tool", "content": "here", "tool_call_id": identity}
        assert json.loads(second.params or "")["tools"] == tools


def test_a_pair_of_a_text_and_calls_of_tools_is_refused(tmp_path: Path) -> None:
    called = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "find", "arguments": "{}"}}]}
    with pytest.raises(RecordError, match="one of the two answers calls tools, and the other does not"):
        read(tmp_path, {"prompt": [HI], "chosen": [HELLO], "rejected": [called]})
