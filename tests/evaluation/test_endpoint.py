"""Models that can only be asked: at an endpoint that runs beside the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autograms.conversation.record import Memory, Turn
from autograms.datasets import build_dpo, build_sft, chat_messages
from autograms.errors import OutputError
from autograms.evaluation import Evaluation, evaluate
from autograms.evaluation.answers import answer_rows
from autograms.evaluation.rows import held_out
from autograms.models import OpenAIModel, Reply, Request
from autograms.settings import DatasetSettings, EvaluationSettings
from tests.endpoint import Endpoint
from tests.memories import desk_memories

MEMORIES = desk_memories(40)
SFT, DPO = build_sft(MEMORIES, DatasetSettings()).table, build_dpo(MEMORIES, DatasetSettings()).table
HELD_OUT = [row for row in SFT.to_pylist() if row["split"] == "validation"]


def right_answers(model: str, *, without: str = "") -> list[dict[str, Any]]:
    """Rules by which a model answers every held-out row as expected, those of one primitive aside."""
    rules = []
    for row in HELD_OUT:
        body = json.dumps({"model": model, "messages": chat_messages(row["prompt"])}, separators=(",", ":"))
        if row["primitive"] != without:
            rules.append({"contains": body[1:-1], "answer": row["completion"]})
    return rules


def deployed(model: Any) -> list[Memory]:
    said = Turn("assistant", f"I am {model.name}", 1)
    return [Memory("desk", "s1", turns=[Turn("user", "Hi", 0), said])]


def run(endpoint: Endpoint, folder: Path, **settings: Any) -> Evaluation:
    base, sft, dpo = (OpenAIModel(name, base_url=endpoint.url) for name in ("small", "ft:small:1", "ft:small:2"))
    return evaluate(
        sft_table=SFT, dpo_table=DPO, base=base, sft=sft, dpo=dpo, output_dir=folder,
        settings=EvaluationSettings(judge_base_url=endpoint.url, **settings), deployment=deployed,
    )  # fmt: skip


def test_models_at_an_endpoint_are_compared(endpoint: Endpoint, tmp_path: Path) -> None:
    better = [
        {"contains": "judge", "last": "Answer A:\nWe regret", "answer": "A"},
        {"contains": "judge", "answer": "B"},
    ]
    answers = [*right_answers("ft:small:2"), *right_answers("ft:small:1", without="generate_object"), *better]
    endpoint.script(answers=answers)
    metrics = run(endpoint, tmp_path, judge="openai/judge").metrics
    assert metrics["rows"]["sft"] == len(HELD_OUT) > 10
    assert metrics["base"]["exact_match"] == 0.0
    assert metrics["dpo"]["exact_match_after"] == metrics["dpo"]["rouge_l_after"] == 1.0
    assert metrics["sft"]["agreement_after"] == 1.0
    assert (metrics["sft"]["valid_json_after"], metrics["dpo"]["valid_json_after"]) == (1.0, 1.0)
    assert metrics["sft"]["exact_match_after"] < 1.0
    assert metrics["dpo"]["win_rate"] == 0.75  # replies won in both orders; objects, which begin otherwise, tied
    assert metrics["verdict"]["better"] is True
    assert metrics["deployment"]["sft"] == {"conversations": 1, "failed": 0}


def test_what_needs_likelihoods_is_absent_and_that_is_said(endpoint: Endpoint, tmp_path: Path) -> None:
    found = run(endpoint, tmp_path)
    for section in ("base", "sft", "dpo"):
        measured = set(found.metrics[section]) | set(found.metrics[section]["intervals"])
        assert not [name for name in measured if "loss" in name or "preference" in name or "margin" in name]
        assert found.metrics["asked_only"][section] == {
            "not_measured": ["eval_loss", "preference_accuracy", "reward_accuracy", "margin"],
            "cost_usd": None,
        }
    report = found.report.read_text(encoding="utf-8")
    assert "BASE, SFT, DPO: an endpoint was asked, which tells no likelihoods: loss, preference accuracy" in report
    assert "Asking cost an unknown amount" in report
    assert "| loss a token" not in report
    assert [path.name for path in found.pictures] == ["before_after.png"]
    assert "I am openai/ft:small:2" in report


def test_the_endpoint_is_asked_what_the_deployed_program_asks(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.script(record=True)
    run(endpoint, tmp_path)
    asked = [request["body"]["messages"] for request in endpoint.requests() if request["body"]["model"] == "small"]
    expected = [chat_messages(row["prompt"]) for row in HELD_OUT]
    assert sorted(map(json.dumps, asked)) == sorted(map(json.dumps, expected))


def test_what_was_spent_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    models = [OpenAIModel("gpt-4o-mini", base_url=endpoint.url) for _ in range(2)]
    found = evaluate(
        sft_table=SFT, dpo_table=DPO, base=models[0], sft=models[1], dpo=None, output_dir=tmp_path,
        settings=EvaluationSettings(),
    )  # fmt: skip
    cost = found.metrics["asked_only"]["sft"]["cost_usd"]
    assert 0 < cost < 0.01
    assert f"Asking cost {2 * cost:.4f} US dollars" in found.report.read_text(encoding="utf-8")


def test_answers_of_the_wrong_form_are_wrong_answers(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.script(answers=[{"answer": "perhaps"}])
    metrics = run(endpoint, tmp_path).metrics
    assert (metrics["base"]["agreement"], metrics["base"]["valid_json"]) == (0.0, 0.0)
    assert metrics["verdict"]["better"] is False


class Refusing:
    """A model that gives no answer to decisions."""

    name = "openai/refusing"

    async def complete(self, request: Request) -> Reply:
        if request.kind == "choice":
            raise OutputError("it refused")
        return Reply("yes", self.name, cost_usd=0.5)

    async def embed(self, texts: list[str], *, model: str | None = None) -> list[list[float]]:
        raise AssertionError("nothing is embedded")

    async def close(self) -> None:
        pass


def test_a_refusal_is_an_empty_answer_of_unknown_cost() -> None:
    import asyncio

    rows = held_out(SFT, "sft", limit=100, seed=0)
    found = asyncio.run(answer_rows(Refusing(), rows, max_new_tokens=8))
    assert {text for text, row in zip(found.texts, rows, strict=True) if row.kind == "choice"} == {""}
    assert {text for text, row in zip(found.texts, rows, strict=True) if row.kind == "text"} == {"yes"}
    assert found.cost_usd is None
