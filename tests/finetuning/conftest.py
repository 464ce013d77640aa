from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.finetuning.small import Small, small_models


@pytest.fixture(scope="session")
def small() -> Small:
    return small_models()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from autograms.finetuning.student import build_tiny

    texts = ["You help people.", "Hello there, what is the matter?", "Please help me with my kettle.", "<|user|> 1 2"]
    return build_tiny(texts, tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def tokenizer(tiny: Path) -> Any:
    from autograms.finetuning.tokens import load_tokenizer

    return load_tokenizer(tiny)
