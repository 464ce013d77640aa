from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from autograms.errors import DatasetError, TrainingError
from autograms.finetuning.student import tiny_tokenizer
from autograms.finetuning.tokens import (
    IGNORED,
    Row,
    load_tokenizer,
    prompt_ids,
    read_rows,
    row_texts,
    tokenize_rows,
)
from tests.finetuning.rows import dpo_table, formal, sft_table

CHATML = (
    "{% for m in messages %}<|system|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|system|>assistant\n{% endif %}"
)
THINKING = (
    "{% for m in messages %}{% if loop.last and m['role'] == 'assistant' %}<|tool|><|tool|>{% endif %}"
    "<|user|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
OTHER_END = (
    "{% for m in messages %}<|user|>{{ m['role'] }}:{{ m['content'] }}<|tool|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|user|>assistant:{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
NO_END_ON_A_BOUNDARY = NO_END.replace("assistant: ", "assistant:<|user|>").replace(": {{", ":<|user|>{{")
MARKED_WITHOUT_END = (
    "{% for m in messages %}<|user|>{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}"
    "{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|user|>{% endif %}"
)


def tokens_of(tokenizer: Any, row: Row) -> Any:
    return tokenize_rows([row], tokenizer, max_length=4096, truncate=False)[0][0]


def a_row(answer: str = "Certainly, sir.", **values: Any) -> Row:
    messages = values.pop("messages", [{"role": "system", "content": "Help."}, {"role": "user", "content": "Hi"}])
    return Row("r", messages, (answer,), "train")


def trained_text(tokenizer: Any, tokens: Any, answer: int = 0) -> str:
    return str(tokenizer.decode([label for label in tokens.labels(answer) if label != IGNORED]))


def test_the_answer_and_its_end_carry_loss_and_nothing_else(tokenizer: Any) -> None:
    tokens = tokens_of(tokenizer, a_row())
    assert trained_text(tokenizer, tokens) == "Certainly, sir.<|end|>"
    assert (
        tokenizer.decode(tokens.input_ids())
        == "<|system|>Help.<|end|><|user|>Hi<|end|><|assistant|>Certainly, sir.<|end|>"
    )
    assert all(label in (IGNORED, token) for label, token in zip(tokens.labels(), tokens.input_ids(), strict=True))


@pytest.mark.parametrize(
    ("template", "trained"),
    [
        (CHATML, "Certainly, sir.<|end|>"),
        (THINKING, "Certainly, sir.<|end|>"),
        (OTHER_END, "Certainly, sir.<|tool|>"),
        (NO_END, "Certainly, sir.<|end|>"),
        (NO_END_ON_A_BOUNDARY, "Certainly, sir.<|end|>"),
        (MARKED_WITHOUT_END, "Certainly, sir.<|end|>"),
    ],
    ids=["newline behind", "finished differs", "end is not eos", "no end", "no end, boundary", "end outside markers"],
)
def test_templates_of_other_models(tiny: Path, template: str, trained: str) -> None:
    tokenizer = load_tokenizer(tiny)
    tokenizer.chat_template = template
    tokens = tokens_of(tokenizer, a_row())
    assert trained_text(tokenizer, tokens) == trained
    assert tokens.prompt == prompt_ids(tokenizer, a_row().messages)


_ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
_TEXTS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=30)
_MESSAGES = st.lists(st.fixed_dictionaries({"role": _ROLES, "content": _TEXTS}), min_size=1, max_size=5)


@given(messages=_MESSAGES, answer=_TEXTS)
@hypothesis_settings(max_examples=60, deadline=None)
def test_the_trained_prompt_is_the_deployed_request(deployed: Any, messages: list[dict[str, str]], answer: str) -> None:
    local, tokenizer = deployed
    tokens = tokens_of(tokenizer, a_row(answer, messages=messages))
    assert tokens.prompt == local.render(messages)
    assert tokens.labels()[: len(tokens.prompt)] == [IGNORED] * len(tokens.prompt)
    assert trained_text(tokenizer, tokens) == f"{answer}<|end|>"


@pytest.fixture(scope="module")
def deployed(tiny: Path) -> Any:
    from autograms.models.local import load_local

    return load_local(str(tiny), 8), load_tokenizer(tiny)


def test_both_answers_of_a_pair_follow_one_prompt(tokenizer: Any) -> None:
    tokens = tokens_of(tokenizer, Row("r", [{"role": "user", "content": "Hi"}], ("good", "bad"), "train"))
    assert [trained_text(tokenizer, tokens, index) for index in (0, 1)] == ["good<|end|>", "bad<|end|>"]
    assert tokens.length == len(tokens.prompt) + max(map(len, tokens.answers))


def test_a_long_row_is_left_out_and_named(tokenizer: Any) -> None:
    long = Row("long", [{"role": "user", "content": "kettle " * 100}], ("yes",), "train")
    kept, audit = tokenize_rows([a_row(), long], tokenizer, max_length=60, truncate=False)
    assert [row.id for row in kept] == ["r"]
    assert (audit.rows, audit.trained, audit.over, audit.longest_row) == (2, 1, 1, "long")
    assert "`long`" in audit.as_markdown()


def test_truncation_cuts_the_left_of_the_prompt_and_never_the_answer(tokenizer: Any) -> None:
    long = Row("long", [{"role": "user", "content": "kettle " * 100}], ("yes",), "train")
    full = tokens_of(tokenizer, long)
    kept, audit = tokenize_rows([long], tokenizer, max_length=60, truncate=True)
    assert kept[0].length == 60
    assert full.prompt[-len(kept[0].prompt) :] == kept[0].prompt
    assert trained_text(tokenizer, kept[0]) == "yes<|end|>"
    assert (audit.truncated, audit.tokens_lost, audit.loss_tokens_lost) == (1, full.length - 60, 0)


def test_an_answer_that_alone_is_too_long_is_left_out_even_so(tokenizer: Any) -> None:
    with pytest.raises(DatasetError, match="raise max_length"):
        tokenize_rows([a_row("kettle " * 100)], tokenizer, max_length=40, truncate=True)


def test_audit_counts_every_token(tokenizer: Any) -> None:
    kept, audit = tokenize_rows([a_row(), a_row("No.")], tokenizer, max_length=100, truncate=False)
    assert audit.tokens == sum(len(row.input_ids()) for row in kept)
    assert audit.loss_tokens == sum(label != IGNORED for row in kept for label in row.labels())
    assert sum(count for _, count in audit.histogram) == 2


def test_rows_of_a_table() -> None:
    rows = list(read_rows(dpo_table(40), "dpo", split="validation"))
    assert rows
    assert {row.split for row in rows} == {"validation"}
    assert rows[0].messages[0] == {"role": "system", "content": "You are the support desk of a shop."}
    assert formal("refund", "kettle") in list(row_texts(rows))


def test_extra_fields_return_to_the_message() -> None:
    prompt = [{"role": "user", "content": None, "extra": '{"content": [{"type": "text", "text": "look"}]}'}]
    table = pa.Table.from_pylist([{"id": "r", "prompt": prompt, "split": "train", "completion": "x"}])
    row = next(read_rows(table, "sft"))
    assert row.messages == [{"role": "user", "content": [{"type": "text", "text": "look"}]}]
    assert list(row_texts([row])) == ["look", "x"]


def test_a_damaged_extra_names_the_row() -> None:
    prompt = [{"role": "user", "content": "a", "extra": "{"}]
    table = pa.Table.from_pylist([{"id": "r9", "prompt": prompt, "split": "train", "completion": "x"}])
    with pytest.raises(DatasetError, match="r9"):
        list(read_rows(table, "sft"))


def test_a_table_of_the_other_kind_is_refused() -> None:
    with pytest.raises(DatasetError, match="'chosen' is missing"):
        list(read_rows(sft_table(40), "dpo"))


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no tokenizer at"):
        load_tokenizer(tmp_path)


CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": "tea"}'}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def calling_row() -> Row:
    completion = json.dumps({"content": None, "tool_calls": [CALL]})
    return Row("t", [{"role": "user", "content": "Look."}], (completion,), "train", "tool_calls", TOOLS)


def test_calls_of_tools_carry_loss_and_tools_do_not() -> None:
    row = calling_row()
    tokenizer = tiny_tokenizer(row_texts([row]))
    (tokens,), _ = tokenize_rows([row], tokenizer, max_length=1000, truncate=False)
    assert tokenizer.decode(tokens.prompt) == f"<|system|>{json.dumps(TOOLS)}<|end|><|user|>Look.<|end|><|assistant|>"
    learned = [token for token in tokens.labels() if token != IGNORED]
    assert tokenizer.decode(learned) == ('<tool_call>{"name": "look", "arguments": {"at": "tea"}}</tool_call><|end|>')


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "does not show any"),
        (
            "{{ tools }}{% for m in messages %}{{ loop.length }}{{ m.content }}{% endfor %}",
            "does not render calls of tools behind the prompt",
        ),
    ],
)
def test_templates_that_cannot_train_tools(template: str, problem: str) -> None:
    tokenizer = tiny_tokenizer(row_texts([calling_row()]))
    tokenizer.chat_template = template
    with pytest.raises(TrainingError, match=problem):
        tokenize_rows([calling_row()], tokenizer, max_length=1000, truncate=False)
