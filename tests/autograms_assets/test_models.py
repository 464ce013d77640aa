"""Models and their evaluation: trained once, and again only where their own inputs changed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograms.finetuning.tokens import MASKS
from autograms.settings import SftRecipe
from autograms_assets.models import _recipe_that_counts
from tests.autograms_assets.chains import TO_DATASETS, Chain, scenario_rows
from tests.autograms_assets.projects import CHATBOT, ITEMS, SETTINGS, ScratchProject
from tests.finetuning.openai_endpoint import KEY, FinetuningEndpoint, serve

MODELS = ("sft_model", "dpo_model")
ALL = (*TO_DATASETS, *MODELS, "evaluation", "leaderboard")
AT_ENDPOINT = """
base_url = "{url}"

[defaults.sft]
backend = "openai"
model = "gpt-4o-mini"

[defaults.dpo]
backend = "openai"
"""


@pytest.fixture
def finetuning() -> Iterator[FinetuningEndpoint]:
    with serve() as served:
        served.statuses = ["succeeded"]
        yield served


@pytest.fixture
def at_endpoint(chain: Chain, finetuning: FinetuningEndpoint, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", finetuning.url)
    chain.project.write("scenarios/items.json", scenario_rows(*(f"{item} {n}" for item in ITEMS for n in range(3))))
    settings = SETTINGS.partition("[defaults.sft]")[0]
    chain.project.write("autograms.toml", settings + AT_ENDPOINT.format(url=finetuning.url).lstrip())
    return chain


def test_finetuning_at_an_endpoint_is_paid_once(at_endpoint: Chain, finetuning: FinetuningEndpoint) -> None:
    outcome = at_endpoint.run(*TO_DATASETS, *MODELS)
    assert outcome.success, outcome.failures
    requests = [job["request"] for job in finetuning.jobs.values()]
    assert [request["method"]["type"] for request in requests] == ["supervised", "dpo"]
    assert requests[1]["model"] == outcome.metadata["sft_model"]["model"] == "ft:gpt-4o-mini:1"
    again = at_endpoint.run(*TO_DATASETS, *MODELS)
    assert again.reused == {*TO_DATASETS, *MODELS}
    assert len(finetuning.jobs) == 2


def test_models_at_an_endpoint_are_evaluated_there(at_endpoint: Chain, finetuning: FinetuningEndpoint) -> None:
    noted = [
        {
            "contains": f'"model":"{model}"',
            "last": f"about the {item} {n}.",
            "answer": f"Dear customer, we noted: {said}",
        }
        for model in ("ft:gpt-4o-mini:1", "ft:ft:gpt-4o-mini:1:1")
        for item in ITEMS
        for n in range(3)
        for said in [f"I have a question about the {item} {n}."]
    ]
    finetuning.chat.reset({"answers": noted})
    outcome = at_endpoint.run(*ALL)
    assert outcome.success, outcome.failures
    found = outcome.metadata["evaluation"]
    assert "The DPO model is better than its base: +" in found["verdict"]
    assert (found["SFT: exact match before"], found["SFT: exact match after"]) == (0.0, 1.0)
    assert found["asked at an endpoint"]["dpo"]["not_measured"][0] == "eval_loss"
    assert "DPO: preference accuracy" not in found
    assert "an endpoint was asked, which tells no likelihoods" in found["report"]
    assert "`comparison.html`" in found["report"]  # and no link, which would lead into Dagster's own pages
    assert "](comparison.html)" not in found["report"]
    assert outcome.checks["evaluation:better_than_base"] is True
    metrics = json.loads((at_endpoint.storage / "evaluation" / "desk" / "metrics.json").read_text())
    assert metrics["deployment"]["dpo"]["failed"] == 0
    assert metrics["dpo"]["conversation_agreement_after"] == 1.0
    asked = finetuning.asked["gpt-4o-mini"]
    assert asked == metrics["rows"]["sft"] + metrics["deployment"]["base"]["conversations"]
    assert "| desk |" in outcome.metadata["leaderboard"]["board"]
    again = at_endpoint.run(*ALL)
    assert again.reused == set(ALL)
    assert finetuning.asked["gpt-4o-mini"] == asked


def test_a_job_that_fails_is_one_clear_failure(at_endpoint: Chain, finetuning: FinetuningEndpoint) -> None:
    finetuning.statuses = ["failed"]
    outcome = at_endpoint.run(*TO_DATASETS, *MODELS)
    assert list(outcome.failures) == ["sft_model"]
    assert not (at_endpoint.storage / "sft_model" / "desk").exists()


def test_without_pairs_there_is_no_dpo_model(
    at_endpoint: Chain, project: ScratchProject, finetuning: FinetuningEndpoint
) -> None:
    project.add("desk", CHATBOT.replace('rejected_output=f"ok {text}", ', ""))
    outcome = at_endpoint.run(*TO_DATASETS, *MODELS)
    assert outcome.success, outcome.failures
    assert outcome.metadata["dpo_model"]["trained"] is False
    assert outcome.checks["dpo_dataset:has_pairs"] is False
    assert len(finetuning.jobs) == 1


def test_another_form_of_the_masks_makes_a_model_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = SftRecipe(model=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    before = _recipe_that_counts(recipe, None)
    assert _recipe_that_counts(recipe, None) == before
    monkeypatch.setattr("autograms.finetuning.tokens.MASKS", MASKS + 1)
    assert _recipe_that_counts(recipe, None) != before


def test_each_file_of_the_base_makes_a_model_stale(tmp_path: Path) -> None:
    recipe = SftRecipe(model=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("1")
    before = _recipe_that_counts(recipe, None)
    (tmp_path / "merges.txt").write_text("2, and more")
    assert _recipe_that_counts(recipe, None) != before


def test_a_recipe_that_cannot_be_is_refused(ready: Chain) -> None:
    ready.project.edit("autograms.toml", "[defaults.sft]", '[defaults.sft]\nmodel = "/nowhere/model"')
    outcome = ready.run("sft_model")
    assert "no model at /nowhere/model" in outcome.failures["sft_model"]
    assert not (ready.storage / "sft_model" / "desk").exists()


def test_a_dpo_model_needs_its_sft_model(ready: Chain) -> None:
    outcome = ready.run("dpo_model")
    assert "sft_model/desk carries no stamp" in outcome.failures["dpo_model"]


@pytest.mark.long
def test_the_whole_chain_trains_once_and_only_what_is_stale(
    chain: Chain, project: ScratchProject, caplog: pytest.LogCaptureFixture
) -> None:
    first = chain.run(*ALL)
    assert first.success, first.failures
    assert first.made == set(ALL)
    assert "(data:image/svg+xml;base64," in first.metadata["sft_model"]["loss"]
    assert first.metadata["sft_model"]["loss, large"].startswith(
        "![training and evaluation loss by step](data:image/png;base64,"
    )
    assert first.metadata["dpo_model"]["steps"] == 2
    assert first.metadata["evaluation"]["SFT: exact match after"] is not None
    metrics = json.loads((chain.storage / "evaluation" / "desk" / "metrics.json").read_text())
    assert {"eval_loss_before", "eval_loss_after", "exact_match_before", "exact_match_after"} <= set(metrics["sft"])
    assert {"preference_accuracy", "margin", "exact_match_after"} <= set(metrics["dpo"])
    assert metrics["deployment"]["dpo"] == {"conversations": 2, "failed": 0}
    assert "evaluation:better_than_base" in first.checks
    assert "desk" in first.metadata["leaderboard"]["board"]

    again = chain.run(*ALL)
    assert (again.reused, again.versions) == (set(ALL), first.versions)

    project.edit("autograms.toml", "[defaults.dpo]", "[defaults.dpo]\nbeta = 0.3")
    assert chain.run(*ALL).made == {"dpo_model", "evaluation", "leaderboard"}

    project.edit("autograms.toml", "[defaults.sft]", "[defaults.sft]\nreport_to = []\nlauncher = []")
    assert chain.run(*ALL).made == set()

    project.edit("chatbots/desk.py", "def formal", "# a comment\ndef formal")
    assert chain.run(*ALL).made == {"autogram"}


@pytest.mark.long
def test_a_training_that_fails_says_what_the_worker_said(ready: Chain) -> None:
    broken = Path(ready.project.root / "broken_model")
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "no such model"}')
    ready.project.edit("autograms.toml", "[defaults.sft]", f'[defaults.sft]\nmodel = "{broken}"')
    outcome = ready.run("sft_model")
    assert "training desk (sft) did not finish: no tokenizer at" in outcome.failures["sft_model"]
    assert not (ready.storage / "sft_model" / "desk").exists()
