from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import yaml

from autograms.finetuning.card import render_card
from autograms.finetuning.job import TrainingResult


@pytest.fixture
def record() -> dict[str, Any]:
    return asdict(
        TrainingResult(
            kind="sft",
            name="desk",
            model="/models/desk",
            base="tiny",
            data_hash="ab12",
            fingerprint="cd34",
            recipe={"max_steps": 3, "launcher": [], "loss_type": ["a|b"]},
            versions={"torch": "2.13.0"},
            device="cpu",
            train_rows=1234,
            validation_rows=10,
            steps=3,
            seconds=1.5,
            eval_loss_before=6.25,
            eval_loss_after=0.5,
            audit={"tokens": 100, "loss_tokens": 40},
        )
    )


def test_front_matter_is_yaml_with_the_data_hash(record: dict[str, Any]) -> None:
    front = yaml.safe_load(render_card(record).split("---\n")[1])
    assert front["autograms"] == {"data_sha256": "ab12", "fingerprint": "cd34"}
    assert front["tags"] == ["autograms", "trl", "sft"]
    assert "base_model" not in front


def test_results_counts_recipe_and_versions_are_told(record: dict[str, Any]) -> None:
    card = render_card(record)
    for line in (
        "| loss before training | 6.25 |",
        "| loss after training | 0.5 |",
        "| rows trained on | 1,234 |",
        "| max_steps | 3 |",
        "| torch | 2.13.0 |",
        '| loss_type | \\["a\\|b"\\] |',
    ):
        assert line in card
    assert "launcher" not in card


def test_a_hub_base_is_named_and_a_local_path_is_not_told(record: dict[str, Any]) -> None:
    assert yaml.safe_load(render_card({**record, "base": "org/model"}).split("---\n")[1])["base_model"] == "org/model"
    local = render_card({**record, "base": "/home/someone/models/base"})
    assert "/home/someone" not in local


def test_without_held_out_rows_nothing_is_claimed(record: dict[str, Any]) -> None:
    card = render_card({**record, "eval_loss_before": None, "eval_loss_after": None})
    assert "No rows were held out." in card
    assert "loss after training" not in card
