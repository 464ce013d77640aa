"""The budget of tokens of the dataset assets: counted in the target model's own tokens."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from autograms.finetuning import audit_rows
from autograms.finetuning.student import tiny_tokenizer
from tests.autograms_assets.chains import Chain, scenario_rows

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


# ------------------------------------------------------------------------------------------- rows that fit, or do not


def limited(chain: Chain, options: str, recipe: str = "sft") -> None:
    chain.project.edit("autograms.toml", f"[defaults.{recipe}]", f"[defaults.{recipe}]\n{options}")


def test_the_tokens_of_the_model_are_told_before_it_trains(ready: Chain) -> None:
    outcome = ready.run(*DATASETS)
    for asset in DATASETS:
        audit = audit_rows(pq.read_table(ready.stored(asset)), asset[:3], model="tiny", max_length=1024)
        found = outcome.metadata[asset]
        assert (found["tokens"], found["tokens with loss"]) == (audit.tokens, audit.loss_tokens)
        assert audit.as_markdown() in found["token audit"]
        assert outcome.checks[f"{asset}:rows_fit"] is True


def test_rows_that_do_not_fit_stop_the_run_before_the_training(ready: Chain) -> None:
    limited(ready, "max_length = 20")
    outcome = ready.run("sft_dataset", "sft_model")
    assert outcome.metadata["sft_dataset"]["made because"] == "changed: longest row"
    assert list(outcome.failures) == ["sft_dataset"]
    assert outcome.checks["sft_dataset:rows_fit"] is False
    assert "the longest row has " in outcome.told["sft_dataset:rows_fit"]
    assert "raise max_length in the recipe" in outcome.told["sft_dataset:rows_fit"]
    assert not (ready.storage / "sft_model").exists()
    again = ready.run("sft_dataset", "sft_model")
    assert (again.reused, list(again.failures)) == ({"sft_dataset"}, ["sft_dataset"])


def test_a_few_rows_that_do_not_fit_are_a_warning(ready: Chain) -> None:
    ready.project.write("scenarios/items.json", scenario_rows(*(f"item {n}" for n in range(30)), "lamp " * 300))
    limited(ready, "max_length = 256")
    outcome = ready.run()
    assert outcome.success, outcome.failures
    assert outcome.checks["sft_dataset:rows_fit"] is False
    assert "1 left out: " in outcome.told["sft_dataset:rows_fit"]
    limited(ready, "truncate = true")
    assert ready.run("sft_dataset").told["sft_dataset:rows_fit"].startswith("1 ")


def test_pairs_are_counted_for_the_model_that_they_train(ready: Chain, folder: Path) -> None:
    limited(ready, f'model = "{folder}"\nmax_length = 77', "dpo")
    outcome = ready.run(*DATASETS)
    assert outcome.made == {"dpo_dataset"}
    assert "In the tokens of `model`" in outcome.metadata["dpo_dataset"]["token audit"]
    assert "| limit | 77 |" in outcome.metadata["dpo_dataset"]["token audit"]


def test_a_model_that_is_not_there_leaves_the_rows_uncounted(ready: Chain, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    limited(ready, f'model = "{tmp_path / "empty"}"')
    outcome = ready.run("sft_dataset")
    assert outcome.success, outcome.failures
    assert "could not be counted: no tokenizer at" in outcome.told["sft_dataset:rows_fit"]
    assert outcome.checks["sft_dataset:rows_fit"] is False


def test_an_endpoint_counts_its_rows_itself(ready: Chain) -> None:
    limited(ready, 'backend = "openai"\nmodel = "gpt-4o-mini"')
    outcome = ready.run(*DATASETS)
    assert outcome.told["sft_dataset:rows_fit"].startswith("an endpoint trains")
    assert outcome.checks["sft_dataset:rows_fit"] is True
    assert "token audit" not in outcome.metadata["sft_dataset"]
