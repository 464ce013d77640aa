"""The budget of tokens of the dataset assets: counted in the target model's own tokens."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from autograms.finetuning import audit_rows
from autograms.finetuning.student import tiny_tokenizer
from tests.autograms_assets.chains import Chain

DATASETS = ("sft_dataset", "dpo_dataset")


def budgeted(chain: Chain, tokens: int, model: str = "tiny") -> None:
    recipe = "[defaults.sft]\nmax_steps = 2"
    budget = f"[defaults.dataset]\nmax_tokens_total = {tokens}\n\n"
    chain.project.edit("autograms.toml", recipe, budget + recipe.replace("\n", f'\nmodel = "{model}"\n'))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, as far as counting goes."""
    tiny_tokenizer(["a lamp and a kettle"]).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_budget_counts_the_target_models_tokens(ready: Chain, folder: Path) -> None:
    budgeted(ready, 100_000, model=str(folder))
    outcome = ready.run(*DATASETS)
    assert outcome.success, outcome.failures
    for asset in DATASETS:
        audit = audit_rows(pq.read_table(ready.stored(asset)), asset[:3], model=folder, max_length=4096)
        assert f"take {audit.tokens} tokens, as counted by the tokenizer" in outcome.metadata[asset]["report"]
    assert ready.run(*DATASETS).reused == set(DATASETS)


def test_the_budget_counts_the_embedded_students_tokens(ready: Chain) -> None:
    before = pq.read_table(ready.stored("sft_dataset"))
    audit = audit_rows(before, "sft", model="tiny", max_length=4096)
    budgeted(ready, audit.tokens - 1)
    outcome = ready.run("sft_dataset")
    assert outcome.success, outcome.failures
    assert outcome.metadata["sft_dataset"]["train rows"] == audit.trained - 1
    assert "beyond the token budget" in outcome.metadata["sft_dataset"]["report"]


def test_another_tokenizer_is_another_dataset(ready: Chain, folder: Path) -> None:
    budgeted(ready, 100_000, model=str(folder))
    assert ready.run("sft_dataset").made == {"sft_dataset"}
    tiny_tokenizer(["the customer noted: thank you"] * 3).save_pretrained(folder)
    again = ready.run("sft_dataset")
    assert again.metadata["sft_dataset"]["made because"] == "changed: tokenizer"


def test_a_model_without_a_tokenizer_is_refused(ready: Chain, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    budgeted(ready, 1000, model=str(tmp_path / "empty"))
    assert "no tokenizer at" in ready.run("sft_dataset").failures["sft_dataset"]


def test_rows_for_an_endpoint_are_estimated(ready: Chain) -> None:
    budgeted(ready, 100_000, model="gpt-4o-mini")
    ready.project.edit("autograms.toml", "[defaults.sft]", '[defaults.sft]\nbackend = "openai"')
    outcome = ready.run("sft_dataset")
    assert "an estimate" in outcome.metadata["sft_dataset"]["report"]
