"""What is never read or run, whoever loads a model: pickles, and code that came with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autograms
from autograms.errors import ModelNameError, TrainingError
from autograms.finetuning.student import build_tiny
from autograms.finetuning.tokens import context_length
from autograms.finetuning.tokens import load_tokenizer as load_training_tokenizer
from autograms.models.loading import SAFE, load_config, load_model, load_tokenizer, refusing

CODE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
Path({marker!r}).touch()
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

class OwnConfig(PretrainedConfig):
    model_type = "own"

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""
AUTO_MAP = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """A model whose weights are a pickle alone."""
    import torch

    folder = build_tiny(["Hello there."], tmp_path / "pickled")
    torch.save(load_model(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of a kind of its own, before a user who answers yes to whatever is asked."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": AUTO_MAP}))
    tokenizer = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "own.py").write_text(CODE.format(marker=str(tmp_path / "ran")))
    return folder


def test_a_pickle_is_refused_with_a_remedy(pickled: Path) -> None:
    with pytest.raises(ModelNameError, match=r"pickles.* never read.*\*\.safetensors.*save_pretrained") as told:
        load_model(pickled)
    assert str(pickled) in str(told.value)
    assert "use_safetensors" not in str(told.value)


@pytest.mark.parametrize("load", [load_config, load_model, load_tokenizer])
def test_code_that_came_with_a_model_is_never_run(own_code: Path, load: Callable[[Path], Any]) -> None:
    with pytest.raises(ModelNameError, match="never done; take a model of a kind that transformers knows"):
        load(own_code)
    assert not (own_code.parent / "ran").exists()


def test_training_does_not_run_it_either(own_code: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="running code that comes with it, which is never done"):
        load_training_tokenizer(own_code)
    assert context_length(own_code, load_tokenizer(build_tiny(["Hello."], tmp_path / "tiny"))) == 4096
    assert not (tmp_path / "ran").exists()


def test_what_another_library_loads_is_refused_in_the_same_words(pickled: Path) -> None:
    from transformers import AutoModelForCausalLM

    with pytest.raises(ModelNameError, match="pickles"), refusing(pickled):
        AutoModelForCausalLM.from_pretrained(pickled, **SAFE)
    with pytest.raises(OSError, match="disk"), refusing(pickled):
        raise OSError("the disk is full")


def test_nothing_is_loaded_elsewhere() -> None:
    root = Path(autograms.__file__).parent
    loads = re.compile(r"(?<!PeftModel)\.from_pretrained\b")
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if loads.search(path.read_text("utf-8"))}
    assert found == {"models/loading.py"}
