"""``autograms show``: what stands in storage."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autograms.cli.overview import failures, measured
from autograms.conversation.parquet import write_memories
from autograms.errors import RecordError
from tests.cli.conftest import Run, assert_one_message
from tests.memories import desk_memories


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_memories(tmp_path / "conversation_memories/bot.parquet", desk_memories(2))
    (tmp_path / "sft_dataset").mkdir()
    pq.write_table(pa.table({"split": ["train", "train", "validation"]}), tmp_path / "sft_dataset/bot.parquet")
    (tmp_path / "evaluation/bot").mkdir(parents=True)
    metrics = {
        "sft": {"eval_loss_before": 6.9, "eval_loss_after": 0.01, "exact_match_before": 0.0, "exact_match_after": 0.95},
        "dpo": {
            **{"preference_accuracy": 1.0, "margin": 4.5, "exact_match_after": 0.9},
            **{"agreement_after": 0.8, "conversation_agreement_after": 0.5},
        },
        "base": {"agreement": 0.25, "conversation_agreement": 0.0},
        "verdict": {"statement": "The DPO model is better than its base"},
    }
    (tmp_path / "evaluation/bot/metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def test_counts_and_figures(storage: Path) -> None:
    rows = dict(measured(storage, "bot"))
    assert rows["conversations"] == "2"
    assert rows["calls"] == str(sum(len(memory.calls) for memory in desk_memories(2)))
    assert rows["SFT rows"] == "3 (1 held out)"
    assert rows["held-out loss, before and after"] == "6.900 -> 0.010"
    assert rows["held-out exact match, before and after"] == "0.000 -> 0.950"
    assert rows["preference margin"] == "4.500"
    assert rows["decisions agreed, before and after"] == "0.250 -> 0.800"
    assert rows["conversations as supervised, before and after"] == "0.000 -> 0.500"
    assert rows["verdict"] == "The DPO model is better than its base"


def test_why_conversations_failed(tmp_path: Path) -> None:
    whole, *failed = desk_memories(4)
    for memory in failed:
        memory.status, memory.error, memory.error_message = "failed", "KeyError", f"'{memory.scenario}'"
        memory.error_place, memory.error_side = "chatbots/bot.py:7", "chatbot"
    failed[0].error = "ValueError"
    write_memories(tmp_path / "conversation_memories/bot.parquet", [whole, *failed])
    assert [(each.count, each.error, each.place) for each in failures(tmp_path, "bot")] == [
        (2, "KeyError", "chatbots/bot.py:7"),
        (1, "ValueError", "chatbots/bot.py:7"),
    ]
    assert failures(tmp_path, "another") == []


def test_nothing_stored(tmp_path: Path) -> None:
    assert measured(tmp_path, "bot") == []


def test_a_damaged_table_is_named(storage: Path) -> None:
    (storage / "sft_dataset/bot.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match="bot"):
        measured(storage, "bot")


def test_a_project_with_nothing_stored(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", tmp_path / "p")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "p"))
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "s"))
    ended = run("show")
    assert ended.status == 0
    assert "greeter" in ended.out
    assert "nothing" in ended.out
    assert_one_message(run("show", "greeter"), "autograms materialize greeter")
