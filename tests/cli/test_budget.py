"""``autograms simulate`` with a budget: refused, agreed to, spent, and gone on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograms.conversation.parquet import read_memories
from tests.cli.conftest import Run, assert_one_message
from tests.endpoint import Endpoint

TALKER = """
from autograms.functional import reply_instruction

def chatbot():
    while True:
        reply_instruction("Answer.")
"""


@pytest.fixture
def command(tmp_path: Path, userbot: Path, endpoint: Endpoint) -> list[object]:
    (tmp_path / "talker.py").write_text(TALKER)
    return [
        *("simulate", "--autogram_file", tmp_path / "talker.py", "--userbot_file", userbot, "--num_examples", 6),
        *("--num_turns", 1, "--model", "openai/test", "--base_url", endpoint.url, "--save_dir", tmp_path / "d"),
        *("--concurrency", 2),
    ]


def test_an_estimate_above_the_budget_spends_nothing(
    run: Run, command: list[object], endpoint: Endpoint, tmp_path: Path
) -> None:
    assert_one_message(run(*command, "--budget_calls", 5), "nothing was spent", "until it is spent: --yes")
    assert endpoint.stats()["requests"] == 0
    assert not (tmp_path / "d" / "memories.parquet").exists()


def test_yes_spends_the_budget_and_a_larger_one_goes_on(
    run: Run, command: list[object], endpoint: Endpoint, tmp_path: Path
) -> None:
    ended = run(*command, "--budget_calls", 5, "--yes")
    assert ended.status == 0, ended.err
    assert "the budget is spent" in ended.err
    assert endpoint.stats()["requests"] == 5
    statuses = [memory.status for memory in read_memories(tmp_path / "d" / "memories.parquet")]
    assert sorted(set(statuses)) == ["completed", "truncated"]
    again = run(*command, "--budget_calls", 12, "--allow_overwrite")
    assert again.status == 0, again.err
    assert endpoint.stats()["requests"] == 12
    assert {memory.status for memory in read_memories(tmp_path / "d" / "memories.parquet")} == {"completed"}


def test_dollars_need_a_price(run: Run, command: list[object]) -> None:
    assert_one_message(run(*command, "--budget_usd", 1), "AUTOGRAMS_PRICES")
