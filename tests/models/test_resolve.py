from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autograms.errors import CredentialsError, ModelNameError
from autograms.models import Model, resolve_model
from autograms.models.checkpoint import CheckpointModel
from autograms.models.openai import OpenAIModel


def test_openai_keeps_slashes_of_the_name() -> None:
    model = resolve_model("openai/meta-llama/Llama-3", base_url="http://localhost:8000/v1")
    assert isinstance(model, OpenAIModel)
    assert model.name == "openai/meta-llama/Llama-3"


def test_offline() -> None:
    model = resolve_model("offline/demo")
    assert model.name == "offline/demo"
    assert isinstance(model, Model)


def test_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    model = resolve_model(f"checkpoint/{tmp_path}")
    assert isinstance(model, CheckpointModel)
    assert model.path == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gpt-4o-mini", "did you mean 'openai/gpt-4o-mini'"),
        ("opnai/gpt-4o", "did you mean 'openai'"),
        ("nothing/like/it", "unknown provider 'nothing'"),
        ("openai", "names a provider only"),
        ("openai/", "names a provider only"),
        ("offline/big", "expected offline/demo"),
        ("", "names no provider"),
        ("checkpoint/./nowhere", "'./nowhere' is no folder; expected a folder with config.json"),
    ],
)
def test_wrong_names(name: str, says: str) -> None:
    with pytest.raises(ModelNameError, match=says.replace(".", r"\.")):
        resolve_model(name)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNameError, match=r"has no config\.json") as raised:
        resolve_model(f"checkpoint/{tmp_path}")
    assert str(tmp_path) in str(raised.value)


def test_openai_without_a_key() -> None:
    with pytest.raises(CredentialsError, match="OPENAI_API_KEY"):
        resolve_model("openai/gpt-4o-mini")


def test_the_package_imports_no_provider() -> None:
    heavy = ["aiohttp", "torch", "transformers", "openai", "pandas"]
    code = (
        f"import sys, autograms.models; print([name for name in {heavy!r} if name in sys.modules]);"
        "print(autograms.models.OfflineModel.__name__)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == ["[]", "OfflineModel"]


def test_unknown_attributes_are_errors() -> None:
    import autograms.models

    with pytest.raises(AttributeError):
        _ = autograms.models.NoModel
