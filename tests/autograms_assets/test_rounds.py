"""A second round of preference training, on the student's own mistakes."""

from __future__ import annotations

import json

import pytest

from tests.autograms_assets.chains import Chain
from tests.autograms_assets.projects import ScratchProject
from tests.autograms_assets.test_models import ALL


@pytest.mark.long
def test_two_rounds_train_on_the_students_own_mistakes(chain: Chain, project: ScratchProject) -> None:
    project.edit("autograms.toml", "[defaults.dpo]", "[defaults.dpo]\nrounds = 2")
    first = chain.run(*ALL)
    assert first.success, first.failures
    assert first.metadata["dpo_model"]["rounds"] == 2
    training = json.loads((chain.storage / "dpo_model" / "desk" / "training.json").read_text())
    assert training["base"].endswith("sft_model/desk")
    assert "dpo" in json.loads((chain.storage / "evaluation" / "desk" / "metrics.json").read_text())
    assert not list((chain.storage / ".work" / "dpo_model" / "desk").glob("round*"))
    assert chain.run(*ALL).reused == set(ALL)
