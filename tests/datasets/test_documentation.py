"""The examples of ``docs/datasets.md``, executed one after the other in a folder with a simulation."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from autograms.cli.main import main
from autograms.conversation.parquet import write_memories
from autograms.settings import AutogramSettings, DatasetSettings
from tests.memories import desk_memory

PAGE = (Path(__file__).parents[2] / "docs/datasets.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    scenarios = [json.dumps({"user_kwargs": {"name": f"n{number % 9}"}}) for number in range(30)]
    memories = [desk_memory(number, scenario_data=scenario) for number, scenario in enumerate(scenarios)]
    for memory in memories:  # ShareGPT's and Alpaca's conversations open with the user
        memory.messages[memory.history[0][1]] = ("user", "Good day.", None)
    write_memories("simulation_data/memories.parquet", memories)
    chat = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
    other = {"messages": [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "See you."}]}
    (tmp_path / "chats.jsonl").write_text(f"{json.dumps(chat)}\n{json.dumps(other)}\n")
    return tmp_path


def test_python(folder: Path) -> None:
    printed, names = io.StringIO(), {}
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(compile(block, "docs/datasets.md", "exec"), names)
    assert "| left out because | count |" in printed.getvalue()
    assert names["built"].report.tokens <= 1500
    assert names["built"].report.dropped["beyond the token budget"] > 0
    assert names["origin"].call.output == names["row"]["completion"]
    assert "reply_instruction" in printed.getvalue()
    assert {path.name for path in (folder / "other").iterdir()} >= {
        "train_sharegpt_dpo.jsonl", "train_alpaca.jsonl", "dataset_info.json", "trl_sft.yaml",
    }  # fmt: skip


def test_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("sh"):
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "autograms"
            assert main(arguments) == 0, f"{line}\n{capsys.readouterr().err}"
    for name in ("simulation_data/train_dpo.jsonl", "openai_files/train.jsonl", "imported/train.jsonl"):
        assert (folder / name).is_file()


def test_settings() -> None:
    (block,) = blocks("toml")
    tables = tomllib.loads(block)["autograms"]["support_desk"]
    given = AutogramSettings(**tables).dataset
    assert given.group_by == ["user_kwargs.persona"]
    assert set(tables["dataset"]) | {"exclude_primitives"} == set(DatasetSettings.model_fields)
