from __future__ import annotations

from autograms.conversation.prompt import wire_messages


def test_an_instruction_travels_as_the_user() -> None:
    assert wire_messages([("instruction", "Do it.", None)]) == [{"role": "user", "content": "Do it."}]


def test_neighbouring_user_texts_are_joined() -> None:
    wire = wire_messages(
        [("user", "a", None), ("instruction", "b", None), ("assistant", "c", None), ("user", "d", None)]
    )
    assert [message["content"] for message in wire] == ["a\n\nb", "c", "d"]


def test_messages_with_further_fields_are_left_as_they_are() -> None:
    parts = '{"content": [{"type": "text", "text": "b"}]}'
    wire = wire_messages([("user", "a", None), ("user", "b", parts), ("user", "c", None)])
    assert [message["content"] for message in wire] == ["a", [{"type": "text", "text": "b"}], "c"]


def test_neighbouring_assistant_texts_stay_apart() -> None:
    assert len(wire_messages([("assistant", "a", None), ("assistant", "b", None)])) == 2
