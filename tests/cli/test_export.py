"""``autograms export``: which model, where to, and what is refused. What is written: ``tests/finetuning``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message
from tests.finetuning.hub import fake_hub
from tests.finetuning.test_export import METRICS, WRITES, converter, trained

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A storage in which support_desk is trained and evaluated."""
    root = tmp_path / "storage"
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(root))
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(EXAMPLES))
    sft = trained(root / "sft_model" / "support_desk", name="support_desk")
    trained(root / "dpo_model" / "support_desk", name="support_desk", kind="dpo", base=str(sft))
    (root / "evaluation" / "support_desk").mkdir(parents=True)
    (root / "evaluation" / "support_desk" / "metrics.json").write_text(json.dumps(METRICS))
    return root


@pytest.mark.usefixtures("storage")
def test_the_last_model_leaves_with_its_metrics_and_settings(run: Run, tmp_path: Path) -> None:
    ended = run("export", "support_desk", "--to", tmp_path / "out")
    assert (ended.status, ended.out) == (0, f"wrote {tmp_path / 'out'}\n")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "direct preference optimization" in card
    assert "| validation_fraction | 0.2 |" in card
    assert METRICS["verdict"]["statement"] in card


@pytest.mark.usefixtures("storage")
def test_the_stage_can_be_chosen(run: Run, tmp_path: Path) -> None:
    assert run("export", "support_desk", "--to", tmp_path / "out", "--stage", "sft").status == 0
    assert "supervised finetuning" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.usefixtures("storage")
def test_a_folder_outside_storage_can_be_exported(run: Run, tmp_path: Path) -> None:
    model = trained(tmp_path / "mine")
    assert run("export", model, "--to", tmp_path / "out").status == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.usefixtures("storage")
def test_a_model_that_is_not_there_is_named_with_those_that_are(run: Run, tmp_path: Path) -> None:
    ended = run("export", "suport_desk", "--to", tmp_path / "out")
    assert_one_message(ended, "suport_desk", "did you mean 'support_desk'?", "models there: support_desk")
    assert not (tmp_path / "out").exists()


def test_damaged_metrics_are_named(run: Run, storage: Path, tmp_path: Path) -> None:
    (storage / "evaluation" / "support_desk" / "metrics.json").write_text("{")
    assert_one_message(run("export", "support_desk", "--to", tmp_path / "out"), "metrics.json is damaged")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("storage")
def test_it_goes_to_a_hub_under_the_autograms_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with fake_hub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        ended = run("export", "support_desk", "--to", "hub", "--public")
        assert (ended.status, ended.out) == (0, f"pushed {hub.url}/team/desk\n")
        assert hub.created[0]["name"] == "support_desk"
        assert hub.created[0]["visibility"] == "public"
        assert "model.safetensors" in hub.files


@pytest.mark.usefixtures("storage")
def test_it_becomes_gguf(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP", str(converter(tmp_path / "llama.cpp", WRITES).parent))
    ended = run("export", "support_desk", "--to", "gguf", "--output", tmp_path / "desk.gguf")
    assert (ended.status, ended.out) == (0, f"wrote {tmp_path / 'desk.gguf'}\n")
    assert json.loads((tmp_path / "desk.gguf").read_text())[1] == "f16"


@pytest.mark.usefixtures("storage")
def test_gguf_without_the_converter_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path / "nowhere"))
    assert_one_message(run("export", "support_desk", "--to", "gguf"), "llama.cpp's converter", "set LLAMA_CPP")
