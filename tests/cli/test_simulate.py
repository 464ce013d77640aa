"""``autograms simulate``: what it writes, reuses, resumes and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograms.conversation.parquet import read_memories
from autograms.conversation.pickle_file import load_pickle
from tests.cli.conftest import Run
from tests.endpoint import Endpoint


def test_writes_a_table_and_a_file_for_each_conversation(simulated: Path) -> None:
    memories = list(read_memories(simulated / "memories.parquet"))
    assert len(memories) == 12
    assert memories[3].transcript() == [
        {"role": "user", "content": "I am N3"},
        {"role": "assistant", "content": "Good day, N3."},
    ]
    assert load_pickle(simulated / "example3.pkl").transcript() == memories[3].transcript()
    assert sorted(path.name for path in simulated.iterdir()) == sorted(
        ["memories.parquet", *(f"example{number}.pkl" for number in range(12))]
    )


def test_the_list_takes_precedence_and_says_so(
    run: Run, chatbot: Path, userbot: Path, scenarios: Path, tmp_path: Path
) -> None:
    ended = run(
        *("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--num_examples", 3),
        *("--simulation_list_file", scenarios, "--model", "offline/demo", "--save_dir", tmp_path / "d"),
    )
    assert ended.status == 0
    assert "all 12 scenarios" in ended.out
    assert "--num_examples (3); --sample 3" in ended.out


@pytest.mark.parametrize("more", [(), ("--num_examples", 12), ("--num_examples", 99)])
def test_where_nothing_is_left_out_nothing_is_said(
    run: Run, chatbot: Path, userbot: Path, scenarios: Path, tmp_path: Path, more: tuple[object, ...]
) -> None:
    ended = run(
        *("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, *more),
        *("--simulation_list_file", scenarios, "--model", "offline/demo", "--save_dir", tmp_path / "d"),
    )
    assert ended.status == 0
    assert "all 12 scenarios" in ended.out
    assert "num_examples" not in ended.out


def test_num_examples_and_a_plain_user(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "echo.py"
    path.write_text(
        "from autograms import autograms_function\nfrom autograms.functional import reply_instruction\n"
        "@autograms_function()\ndef chatbot():\n    while True:\n        reply_instruction('Answer.')\n"
    )
    folder = tmp_path / "d"
    ended = run(
        *("simulate", "--autogram-file", path, "--num-examples", 3, "--num-turns", 2),
        *("--model", "offline/demo", "--save-dir", folder),
    )
    assert ended.status == 0, ended.err
    assert "no measure of any model" in ended.out
    memories = list(read_memories(folder / "memories.parquet"))
    assert len(memories) == 3
    assert [turn["role"] for turn in memories[0].transcript()] == [
        "assistant",
        "user",
        "assistant",
        "user",
        "assistant",
    ]


def test_overwriting_removes_examples_of_a_longer_simulation(
    run: Run, chatbot: Path, userbot: Path, simulated: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.json"
    short.write_text('[{"num_turns": 1, "user_goes_first": true, "user_kwargs": {"name": "Zoe"}}]')
    ended = run(
        *("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--simulation_list_file", short),
        *("--model", "offline/demo", "--save_dir", simulated, "--allow_overwrite"),
    )
    assert ended.status == 0, ended.err
    assert sorted(path.name for path in simulated.iterdir()) == ["example0.pkl", "memories.parquet"]


def talker(tmp_path: Path) -> Path:
    path = tmp_path / "talker.py"
    path.write_text(
        "from autograms import autograms_function\nfrom autograms.functional import reply_instruction\n"
        "@autograms_function()\ndef chatbot():\n    while True:\n        reply_instruction('Say something.')\n"
    )
    return path


def test_an_endpoint_with_a_key_file(run: Run, tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.script(key="sk-secret")
    keys = tmp_path / "keys.json"
    keys.write_text('{"openai": "sk-secret"}')
    arguments = (
        *("simulate", "--autogram_file", talker(tmp_path), "--num_examples", 2, "--num_turns", 1),
        *("--model", "openai/small", "--base_url", endpoint.url, "--save_dir", tmp_path / "d"),
    )
    ended = run(*arguments, "--api_key_file", keys)
    assert ended.status == 0, ended.err
    assert "sk-secret" not in ended.out + ended.err
    assert not any(b"sk-secret" in path.read_bytes() for path in (tmp_path / "d").iterdir())


def test_overwriting_pays_for_nothing_again_unless_fresh(run: Run, tmp_path: Path, endpoint: Endpoint) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"openai": "x"}')
    arguments = (
        *("simulate", "--autogram_file", talker(tmp_path), "--num_examples", 4, "--num_turns", 1),
        *("--model", "openai/small", "--base_url", endpoint.url, "--api_key_file", keys, "--save_dir", tmp_path / "d"),
    )
    assert run(*arguments).status == 0
    first = endpoint.stats()["requests"]
    assert first == 12
    ended = run(*arguments, "--allow_overwrite")
    assert "0 paid, 12 reused" in ended.out
    assert endpoint.stats()["requests"] == first
    assert run(*arguments, "--allow_overwrite", "--fresh").status == 0
    assert endpoint.stats()["requests"] == 2 * first


def test_a_failed_conversation_is_told_and_stops_no_other(
    run: Run, chatbot: Path, userbot: Path, tmp_path: Path
) -> None:
    path = tmp_path / "list.json"
    rows = [
        {"num_turns": 1, "user_goes_first": True, "user_kwargs": {"name": "Ada"}},
        {"num_turns": 1, "user_goes_first": True, "user_kwargs": {"nme": "Bob"}},
    ]
    path.write_text(json.dumps(rows))
    ended = run(
        *("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--simulation_list_file", path),
        *("--model", "offline/demo", "--save_dir", tmp_path / "d"),
    )
    assert ended.status == 0
    assert "1 failed" in ended.out
    assert "userbot" in ended.err
    assert "nme" in ended.err
    statuses = [memory.status for memory in read_memories(tmp_path / "d" / "memories.parquet")]
    assert statuses == ["completed", "failed"]


def test_goes_on_from_a_saved_conversation(
    run: Run, chatbot: Path, userbot: Path, simulated: Path, tmp_path: Path
) -> None:
    scenarios = tmp_path / "more.json"
    scenarios.write_text('[{"num_turns": 1, "user_goes_first": true, "user_kwargs": {"name": "Eve"}}]')
    ended = run(
        *("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--simulation_list_file", scenarios),
        *("--model", "offline/demo", "--memory_file", simulated / "example0.pkl", "--save_dir", tmp_path / "d"),
    )
    assert ended.status == 0, ended.err
    spoken = [turn["content"] for turn in load_pickle(tmp_path / "d" / "example0.pkl").transcript()]
    assert spoken == ["I am N0", "Good day, N0.", "I am Eve", "Good day, Eve."]


def test_wrong_scenarios_are_left_out_and_named(run: Run, chatbot: Path, userbot: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text("name,num_turns,user_goes_first\nAnn,1,yes\nBo,many,yes\nCy,1,yes\nDi,1,yes\n")
    command = ("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--simulation_list_file", cases)
    command = (*command, "--model", "offline/demo", "--save_dir", tmp_path / "d")
    assert run(*command).status == 2
    ended = run(*command, "--skip_bad", "--sample", 2)
    assert ended.status == 0, ended.err
    assert "left out" in ended.err
    assert "num_turns is 'many'" in ended.err
    assert "2 of the 3 scenarios" in ended.out
    assert len(read_memories(tmp_path / "d" / "memories.parquet")) == 2


@pytest.mark.long
def test_a_cluster_writes_the_same(
    run: Run, chatbot: Path, userbot: Path, scenarios: Path, simulated: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason='Ray is not installed: pip install -e ".[ray]"')
    ended = run(
        *("simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--simulation_list_file", scenarios),
        *("--model", "offline/demo", "--save_dir", tmp_path / "d", "--engine", "ray", "--ray_workers", 2),
    )
    assert (ended.status, ended.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == sorted(path.name for path in simulated.iterdir())
    for path in simulated.glob("*.pkl"):
        assert load_pickle(tmp_path / "d" / path.name) == load_pickle(path)
