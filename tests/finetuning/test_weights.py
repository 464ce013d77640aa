"""Weights of OpenAI's files, from the imported line to the tokens that carry loss and back into a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from autograms.conversation.elsewhere import read_chats
from autograms.datasets import build_sft, export_jsonl
from autograms.datasets.openai_rules import check_openai_file
from autograms.finetuning.tokens import IGNORED, load_tokenizer, read_rows, tokenize_rows
from autograms.settings import DatasetSettings

WITHOUT_MARKERS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SYSTEM = {"role": "system", "content": "Be kind."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **weight: int) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **weight}


LINES = [
    [SYSTEM, user("a"), assistant("A0", weight=0), user("b"), assistant("B1", weight=1)],
    [user("c"), assistant("C1", weight=1), user("d"), assistant("D0", weight=0)],
    [user("e"), assistant("E1"), user("f"), assistant("F0", weight=0), user("g"), assistant("G1")],
    [user("h"), assistant("H1"), user("i"), assistant("I1")],
]
LEARNED = ["B1", "C1", "E1", "G1", "H1", "I1"]


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in LINES))
    return build_sft(read_chats(path).memories, DatasetSettings(validation_fraction=0)).table


def test_a_message_of_weight_1_is_a_row_and_one_of_weight_0_is_context(table: pa.Table) -> None:
    assert sorted(table["completion"].to_pylist()) == LEARNED
    prompts = {row.answers[0]: row.messages for row in read_rows(table, "sft")}
    assert prompts["B1"] == [SYSTEM, user("a"), assistant("A0"), user("b")]
    assert prompts["G1"] == [user("e"), assistant("E1"), user("f"), assistant("F0"), user("g")]


@pytest.mark.parametrize("template", [None, WITHOUT_MARKERS], ids=["markers", "no markers"])
def test_what_carries_loss_is_what_has_weight_1(table: pa.Table, tiny: Path, template: str | None) -> None:
    tokenizer = load_tokenizer(tiny)
    tokenizer.chat_template = template or tokenizer.chat_template
    rows, audit = tokenize_rows(read_rows(table, "sft"), tokenizer, max_length=512, truncate=False)
    trained = [tokenizer.decode([label for label in row.labels() if label != IGNORED]) for row in rows]
    assert sorted(trained) == [f"{text}<|end|>" for text in LEARNED]
    assert audit.left_out == {}
    read = [tokenizer.decode(row.input_ids()) for row in rows]
    assert sum("F0" in text for text in read) == 1  # read as context before G1


def test_exported_weights_name_the_same_messages(table: pa.Table, tmp_path: Path) -> None:
    (path,) = export_jsonl(table, tmp_path / "openai", flavor="openai")
    assert check_openai_file(path, fewest=1) == []
    found = []
    for line in path.read_text().splitlines():
        messages = json.loads(line)["messages"]
        found += [message["content"] for message in messages if message.get("weight") == 1]
        assert all("weight" in message for message in messages if message["role"] == "assistant")
    assert sorted(found) == LEARNED
    again = build_sft(read_chats(path).memories, DatasetSettings(validation_fraction=0)).table
    assert sorted(again["completion"].to_pylist()) == LEARNED
