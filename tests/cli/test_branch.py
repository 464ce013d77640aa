"""``autograms branch``: what it writes and pays, and what it refuses."""

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
def programs(run: Run, tmp_path: Path, userbot: Path, endpoint: Endpoint) -> list[object]:
    (tmp_path / "talker.py").write_text(TALKER)
    options: list[object] = ["--autogram_file", tmp_path / "talker.py", "--userbot_file", userbot]
    options += ["--model", "openai/test", "--base_url", endpoint.url, "--save_dir", tmp_path / "d"]
    ended = run("simulate", *options, "--num_examples", 3, "--num_turns", 2)
    assert ended.status == 0, ended.err
    return options


def test_branches_are_written_and_paid_once(
    run: Run, programs: list[object], endpoint: Endpoint, tmp_path: Path
) -> None:
    assert endpoint.stats()["requests"] == 9
    for _ in range(2):
        ended = run("branch", *programs, "--at", "reply_instruction#2", "--n", 2)
        assert ended.status == 0, ended.err
        assert endpoint.stats()["requests"] == 9 + 3 * 2 * 2
    made = read_memories(tmp_path / "d" / "branches.parquet")
    assert [memory.branch for memory in made] == ["1.1", "1.2"] * 3


def test_one_conversation_goes_on_with_other_answers(run: Run, programs: list[object], tmp_path: Path) -> None:
    key = read_memories(tmp_path / "d" / "memories.parquet")[1].scenario
    ended = run(
        *("branch", *programs, "--scenario", key, "--at", "turn#1", "--n", 2),
        *("--answer", "one", "--answer", "another"),
    )
    assert ended.status == 0, ended.err
    made = read_memories(tmp_path / "d" / "branches.parquet")
    assert [memory.calls[0].output for memory in made] == ["one", "another"]


def test_what_is_not_there_is_named(run: Run, programs: list[object]) -> None:
    assert_one_message(run("branch", *programs, "--scenario", "nowhere", "--at", "turn"), "there are:")
    assert_one_message(run("branch", *programs, "--at", "thought"), "calls to branch at: reply_instruction")


def test_a_simulation_with_branches_and_a_student(
    run: Run, programs: list[object], chatbot: Path, tmp_path: Path
) -> None:
    ended = run(
        *("simulate", *programs, "--num_examples", 2, "--allow_overwrite", "--fresh"),
        *("--branch_at", "reply_instruction", "--branches", 2),
    )
    assert ended.status == 0, ended.err
    assert len(read_memories(tmp_path / "d" / "memories.parquet")) == 6


def test_the_models_beside_the_chatbot_take_the_key_of_the_file(
    run: Run, programs: list[object], chatbot: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"openai": "right"}')
    (tmp_path / "list.json").write_text('[{"num_turns": 1, "user_goes_first": true}]')
    endpoint.script(key="right")
    ended = run("branch", *programs, "--api_key_file", keys, "--other_model", "openai/other", "--at", "turn#1")
    assert ended.status == 0, ended.err
    ended = run(
        *("simulate", *programs, "--api_key_file", keys, "--student", "openai/student", "--allow_overwrite"),
        *("--fresh", "--autogram_file", chatbot, "--simulation_list_file", tmp_path / "list.json"),
    )
    assert ended.status == 0, ended.err
    (memory,) = read_memories(tmp_path / "d" / "memories.parquet")
    assert [call.error for call in memory.calls if call.side == "student"] == [None]
