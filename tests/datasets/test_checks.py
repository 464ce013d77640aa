from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from autograms.datasets import DPO_SCHEMA, SFT_SCHEMA, build_dpo, build_sft, check_rows
from autograms.datasets.checks import equal_pairs, few_rows, leaks, secrets, unbalanced_decisions
from autograms.settings import DatasetSettings
from tests.memories import desk_memories


def row(number: int, **fields: Any) -> dict[str, Any]:
    asked = fields.pop("asked", f"question {number}")
    return {
        "id": f"r{number}", "autogram": "desk", "scenario": f"s{number}", "call": 0, "primitive": "thought",
        "split": "train", "kind": "text", "prompt": [{"role": "user", "content": asked, "extra": None}],
        "completion": f"answer {number}", "choices": [], "tags": [], **fields,
    }  # fmt: skip


def sft(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SFT_SCHEMA)


def dpo(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"chosen": one["completion"], "rejected": "no", **one} for one in rows], DPO_SCHEMA)


def test_a_built_dataset_is_small_and_otherwise_sound() -> None:
    for built in (build_sft(desk_memories(30), DatasetSettings()), build_dpo(desk_memories(30), DatasetSettings())):
        assert {finding.check for finding in check_rows(built.table)} <= {"rows", "balance"}
        assert {finding.severity for finding in check_rows(built.table)} == {"warning"}


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        ([], ["no row trains"]),
        ([row(0, split="validation")], ["no row trains"]),
        ([row(0)], ["only 1 rows train", "no row is held out"]),
        ([*(row(number) for number in range(160)), row(160, split="validation")], []),
    ],
)
def test_few_rows(rows: list[dict[str, Any]], texts: list[str]) -> None:
    assert [text in finding.message for text, finding in zip(texts, few_rows(sft(*rows)), strict=True)] == [True] * len(
        texts
    )


def test_a_text_on_both_sides_leaks() -> None:
    same = {"asked": "same", "completion": "same"}
    (finding,) = leaks(sft(row(0, **same), row(1), row(2, split="validation", **same)))
    assert (finding.check, finding.severity, finding.rows, finding.count) == ("leakage", "error", ("r2",), 1)
    assert "texts" in finding.message


def test_the_same_prompt_with_another_answer_does_not_leak() -> None:
    assert leaks(sft(row(0, asked="same"), row(1, asked="same", split="validation"))) == []


def test_a_scenario_on_both_sides_leaks() -> None:
    (finding,) = leaks(sft(row(0, scenario="s"), row(1, scenario="s", split="validation")))
    assert "scenarios" in finding.message
    assert leaks(sft(row(0, scenario=""), row(1, scenario="", split="validation"))) == []


def test_pairs_leak_by_the_chosen_answer() -> None:
    same = {"asked": "same", "completion": "same"}
    assert leaks(dpo(row(0, rejected="a", **same), row(1, rejected="b", split="validation", **same)))[0].rows == ("r1",)


def test_equal_pairs() -> None:
    (finding,) = equal_pairs(dpo(row(0), row(1, rejected="answer 1")))
    assert (finding.severity, finding.rows) == ("error", ("r1",))
    assert equal_pairs(sft(row(0))) == []


@pytest.mark.parametrize(("yes", "no", "found"), [(40, 0, True), (39, 1, True), (38, 2, False), (10, 0, False)])
def test_unbalanced_decisions(yes: int, no: int, found: bool) -> None:
    answers = ["Yes"] * yes + ["No"] * no
    rows = [row(i, kind="choice", completion=answer, place="chatbot:3") for i, answer in enumerate(answers)]
    findings = unbalanced_decisions(sft(*rows))
    assert bool(findings) is found
    if found:
        assert f"thought at chatbot:3 has the same answer in {yes} of {yes + no}" in findings[0].message


def test_texts_are_no_decisions() -> None:
    assert unbalanced_decisions(sft(*(row(i, completion="same") for i in range(50)))) == []


SHAPES = [
    ("sk-" + "a1B2" * 8, "OpenAI"),
    ("sk-ant-api03-" + "x" * 30, "Anthropic"),
    ("AKIA" + "ABCD1234" * 2, "AWS"),
    ("ghp_" + "a1" * 18, "GitHub"),
    ("glpat-" + "a1" * 10, "GitLab"),
    ("AIza" + "x" * 35, "Google"),
    ("xoxb-" + "1234567890-abc", "Slack"),
    ("sk_live_" + "a1" * 8, "Stripe"),
    ("hf_" + "aB" * 17, "Hugging Face"),
    ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
    ("eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12, "signed web token"),
    ("postgres://admin:hunter22@db", "URL with a password"),
    ("password: hunter2hunter", "assignment"),
    ('"api_key": "abc123def"', "assignment"),
]


@pytest.mark.parametrize(("secret", "name"), SHAPES)
def test_secrets_are_found_and_not_quoted(secret: str, name: str) -> None:
    findings = secrets(sft(row(0), row(1, asked=f"mine is {secret} thanks"), row(2, completion=secret)))
    finding = next(finding for finding in findings if name in finding.message)
    assert finding.rows == ("r1", "r2")
    assert all(secret not in finding.message for finding in findings)


@pytest.mark.parametrize(
    "text", ["ask-me about the password", "password: please", "skirt-" + "a" * 30, "http://a.b:80/x"]
)
def test_plain_texts_are_no_secrets(text: str) -> None:
    assert secrets(sft(row(0, asked=text))) == []


def test_secrets_are_found_in_every_chunk_and_column() -> None:
    key = "ghp_" + "a1" * 18
    extra = {"prompt": [{"role": "user", "content": None, "extra": f'{{"content": "{key}"}}'}]}
    table = pa.concat_tables([dpo(row(0), row(1)), dpo(row(2, **extra), row(3, rejected=key))])
    assert secrets(table.slice(1))[0].rows == ("r2", "r3")
