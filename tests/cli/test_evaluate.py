"""``autograms evaluate`` with models that an endpoint finetuned; those of this machine are in ``test_finetune``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message
from tests.finetuning.openai_endpoint import KEY, FinetuningEndpoint, serve

NAMES = [f"N{number}" for number in range(24)]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[FinetuningEndpoint]:
    """An endpoint whose finetuned models greet as the supervisor does."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve() as served:
        served.statuses = ["succeeded"]
        served.chat.reset(
            {"answers": [{"contains": '"model":"ft:', "last": f"I am {name}\n", "answer": f"Good day, {name}."}
                         for name in NAMES]}
        )  # fmt: skip
        yield served


@pytest.fixture
def trained(run: Run, served: FinetuningEndpoint, chatbot: Path, userbot: Path, tmp_path: Path) -> Path:
    """A folder with conversations, and what stands for the models that were made of them."""
    scenarios = tmp_path / "many.json"
    scenarios.write_text(
        json.dumps([{"num_turns": 1, "user_kwargs": {"name": name}, "user_goes_first": True} for name in NAMES])
    )
    folder = tmp_path / "data"
    programs = ("--autogram_file", chatbot, "--userbot_file", userbot, "--simulation_list_file", scenarios)
    assert run("simulate", *programs, "--model", "offline/demo", "--save_dir", folder).status == 0
    at_endpoint = ("finetune", "--save_dir", folder, "--model_type", "openai", "--base_url", served.url)
    for options in (("--model", "gpt-4o-mini"), ("--model", "sft", "--finetuning_type", "dpo")):
        ended = run(*at_endpoint, *options)
        assert ended.status == 0, ended.err
    return folder


def test_models_of_an_endpoint(
    run: Run, trained: Path, served: FinetuningEndpoint, chatbot: Path, userbot: Path
) -> None:
    assert [job["model"] for job in served.jobs.values()] == ["gpt-4o-mini", "ft:gpt-4o-mini:1"]
    programs = ("--autogram_file", chatbot, "--userbot_file", userbot, "--judge", "openai/judge")
    ended = run("evaluate", "--save_dir", trained, "--base_url", served.url, *programs)
    assert ended.status == 0, ended.err
    assert "The DPO model is better than its base: +" in ended.out
    assert "not measured: an endpoint tells no likelihoods" in ended.out
    metrics = json.loads((trained / "evaluation" / "metrics.json").read_text())
    assert metrics["sft"]["exact_match_after"] == metrics["dpo"]["conversation_agreement_after"] == 1.0
    assert set(served.asked) == {"gpt-4o-mini", "ft:gpt-4o-mini:1", "ft:ft:gpt-4o-mini:1:1", "judge"}
    assert 0 <= metrics["sft"]["win_rate"] <= 1
    assert (trained / "evaluation" / "comparison.html").is_file()


def test_the_judge_takes_the_key_of_the_file(
    run: Run, trained: Path, served: FinetuningEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    served.chat.reset({"key": KEY})
    (tmp_path / "keys.json").write_text(json.dumps({"openai": KEY}))
    evaluate = ("evaluate", "--save_dir", trained, "--base_url", served.url, "--judge", "openai/judge")
    assert_one_message(run(*evaluate), "key")
    ended = run(*evaluate, "--api_key_file", tmp_path / "keys.json")
    assert ended.status == 0, ended.err
    assert "judge" in served.asked


def test_models_by_name(run: Run, trained: Path, served: FinetuningEndpoint) -> None:
    named = ("--sft_model", "openai/ft:gpt-4o-mini:1", "--dpo_model", "openai/gpt-4o-mini")
    at = ("evaluate", "--save_dir", trained, "--base_url", served.url)
    assert_one_message(run(*at, *named), "--base is missing", "openai/ft:gpt-4o-mini:1")
    ended = run(*at, *named, "--base", "openai/gpt-4o-mini")
    assert ended.status == 0, ended.err
    assert "is not better than its base: +0.000" in ended.out


def test_a_damaged_name_is_one_message(run: Run, trained: Path) -> None:
    (trained / "sft_model" / "model.json").write_text("{")
    assert_one_message(run("evaluate", "--save_dir", trained), "model.json is damaged")


def test_preferences_start_from_the_endpoints_model(run: Run, trained: Path, served: FinetuningEndpoint) -> None:
    (trained / "sft_model" / "model.json").unlink()
    at_endpoint = ("finetune", "--save_dir", trained, "--model_type", "openai", "--base_url", served.url)
    ended = run(*at_endpoint, "--model", "sft", "--finetuning_type", "dpo")
    assert_one_message(ended, "--model sft", "--finetuning_type normal")
