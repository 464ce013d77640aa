"""Prompts as rows hold them are those that go over the wire, whatever stands in a conversation."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autograms.conversation.record import Memory, Prompt
from autograms.datasets.prompts import PromptReader, RowMessage
from autograms.datasets.rows import chat_messages

EXTRAS = st.none() | st.sampled_from(
    [
        json.dumps({"name": "Ada"}),
        json.dumps({"content": None, "tool_calls": [{"id": "1"}]}),
        json.dumps({"content": [{"type": "text", "text": "see"}]}),
        json.dumps({}),
    ]
)
ROLES = st.sampled_from(["system", "user", "assistant", "instruction", "tool"])
MESSAGES = st.lists(st.tuples(ROLES, st.sampled_from(["", "a", "b"]), EXTRAS), min_size=1, max_size=6)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Memory, list[Prompt]]:
    messages = draw(MESSAGES)
    index = st.integers(0, len(messages) - 1)
    nodes = draw(st.integers(1, 8))
    history = [(draw(st.integers(-1, node - 1)), draw(index)) for node in range(nodes)]
    maybe = st.integers(-1, len(messages) - 1)
    prompt = st.builds(Prompt, maybe, st.integers(-1, nodes - 1), st.integers(-1, nodes - 1), maybe)
    return Memory(messages=messages, history=history), draw(st.lists(prompt, min_size=1, max_size=12))


def as_chat(messages: list[RowMessage]) -> list[dict[str, Any]]:
    return chat_messages({"role": role, "content": text, "extra": extra} for role, text, extra in messages)


@given(st.lists(conversations(), min_size=1, max_size=3))
def test_prompts_are_those_on_the_wire(recorded: list[tuple[Memory, list[Prompt]]]) -> None:
    reader = PromptReader([])
    hashes: dict[str, int] = {}
    for memory, prompts in recorded:
        reader.open(memory)
        for prompt in prompts:
            numbers, hashed = reader.read(prompt)
            rendered = [reader.messages[number] for number in numbers]
            assert as_chat(rendered) == memory.prompt_messages(prompt)
            assert hashes.setdefault(json.dumps(rendered), hashed) == hashed
    assert len(set(hashes.values())) == len(hashes)
