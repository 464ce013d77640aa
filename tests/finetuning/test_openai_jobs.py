from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autograms.errors import CredentialsError, DatasetError, TrainingError
from autograms.finetuning.openai_jobs import OpenAIResult, run_openai_job
from autograms.settings import SftRecipe
from tests.finetuning.openai_endpoint import KEY, FinetuningEndpoint, serve

RECIPE = SftRecipe(model="gpt-4o-mini", backend="openai", seed=5, suffix="desk", hyperparameters={"n_epochs": 2})


@pytest.fixture
def endpoint() -> Iterator[FinetuningEndpoint]:
    with serve() as served:
        yield served


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps({"messages": [], "row": index}) + "\n" for index in range(12)), encoding="utf-8")
    return path


def run(endpoint: FinetuningEndpoint, rows: Path, **values: Any) -> OpenAIResult:
    options = {"kind": "sft", "state_file": rows.parent / "state.json", "base_url": endpoint.url, "api_key": KEY}
    return run_openai_job(rows, values.pop("recipe", RECIPE), **{**options, "poll_seconds": 0.01, **values})


def state(rows: Path) -> dict[str, Any]:
    return dict(json.loads((rows.parent / "state.json").read_text(encoding="utf-8")))


def test_a_job_from_upload_to_model(endpoint: FinetuningEndpoint, rows: Path) -> None:
    events: list[dict[str, Any]] = []
    result = run(endpoint, rows, on_event=events.append)
    assert result == OpenAIResult("ftjob-1", "ft:gpt-4o-mini:1", "gpt-4o-mini", 1234, False)
    request = endpoint.jobs["ftjob-1"]["request"]
    assert request["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    assert (request["seed"], request["suffix"], request["training_file"]) == (5, "desk", "file-1")
    assert events[0] == {"event": "job", "job": "ftjob-1", "reattached": False}
    assert {"event": "progress", "step": 1, "max_steps": 9, "loss": 0.75} in events
    assert [event["message"] for event in events if event["event"] == "message"].count("Created job") == 1
    assert state(rows)["model"] == "ft:gpt-4o-mini:1"


def test_a_dpo_job_with_held_out_rows(endpoint: FinetuningEndpoint, rows: Path, tmp_path: Path) -> None:
    held_out = tmp_path / "validation.jsonl"
    held_out.write_text("{}\n", encoding="utf-8")
    run(endpoint, rows, kind="dpo", validation_file=held_out, base="ft:first")
    request = endpoint.jobs["ftjob-1"]["request"]
    assert request["method"]["type"] == "dpo"
    assert request["model"] == "ft:first"
    assert endpoint.files == {"file-1": "train.jsonl", "file-2": "validation.jsonl"}
    assert request["validation_file"] == "file-2"


def test_a_finished_job_is_not_paid_again(endpoint: FinetuningEndpoint, rows: Path) -> None:
    first = run(endpoint, rows)
    second = run(endpoint, rows)
    assert second.reattached
    assert second.model == first.model
    assert endpoint.calls["POST fine_tuning/jobs"] == 1
    assert endpoint.calls["POST files"] == 1


def test_a_lost_poller_finds_its_job_again(endpoint: FinetuningEndpoint, rows: Path) -> None:
    def lose(event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            raise RuntimeError("the machine is gone")

    with pytest.raises(RuntimeError, match="gone"):
        run(endpoint, rows, on_event=lose)
    assert state(rows)["job"] == "ftjob-1"
    assert run(endpoint, rows).reattached
    assert len(endpoint.jobs) == 1


def test_a_creation_whose_answer_was_lost_is_found_by_its_fingerprint(endpoint: FinetuningEndpoint, rows: Path) -> None:
    endpoint.cut_off = True
    with pytest.raises(TrainingError, match="could not be reached"):
        run(endpoint, rows)
    result = run(endpoint, rows)
    assert result.reattached
    assert list(endpoint.jobs) == ["ftjob-1"]


def test_other_rows_are_another_job(endpoint: FinetuningEndpoint, rows: Path) -> None:
    run(endpoint, rows)
    rows.write_text(rows.read_text(encoding="utf-8") + "{}\n", encoding="utf-8")
    assert run(endpoint, rows).job == "ftjob-2"


def test_an_interrupt_cancels_the_job(endpoint: FinetuningEndpoint, rows: Path) -> None:
    endpoint.statuses = ["running"]

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(endpoint, rows, on_event=interrupt)
    assert endpoint.jobs["ftjob-1"]["status"] == "cancelled"
    assert state(rows)["status"] == "cancelled"
    endpoint.statuses = ["succeeded"]
    assert run(endpoint, rows).job == "ftjob-2"


def test_a_failed_job_gives_its_reason_and_may_be_tried_again(endpoint: FinetuningEndpoint, rows: Path) -> None:
    endpoint.statuses = ["running", "failed"]
    with pytest.raises(TrainingError, match="ftjob-1 failed: the training file is too small"):
        run(endpoint, rows)
    endpoint.statuses = ["succeeded"]
    assert run(endpoint, rows).job == "ftjob-2"


def test_uploaded_rows_are_used_again_where_they_are_and_nowhere_else(endpoint: FinetuningEndpoint, rows: Path) -> None:
    endpoint.statuses = ["failed"]
    with serve() as other:
        for _ in range(2):
            with pytest.raises(TrainingError, match="too small"):
                run(endpoint, rows)
        assert len(endpoint.files) == 1
        other.files["file-1"] = "of somebody else"
        run(other, rows)
        assert other.jobs["ftjob-1"]["request"]["training_file"] == "file-2"
    del endpoint.files["file-1"]  # another account's, or expired
    endpoint.files["file-7"] = "another"
    with pytest.raises(TrainingError, match="too small"):
        run(endpoint, rows)
    assert endpoint.jobs["ftjob-3"]["request"]["training_file"] == "file-2"


def test_passing_errors_while_waiting_pass(endpoint: FinetuningEndpoint, rows: Path) -> None:
    endpoint.flaky = 2
    assert run(endpoint, rows).model == "ft:gpt-4o-mini:1"
    assert len(endpoint.jobs) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_a_closed_service_is_told_with_the_remedy(endpoint: FinetuningEndpoint, rows: Path, status: int) -> None:
    endpoint.refuse = (status, "Fine-tuning is not available")
    with pytest.raises(TrainingError, match=r"Fine-tuning is not available.*huggingface"):
        run(endpoint, rows)


def test_a_bad_request_is_told_in_the_endpoints_words(endpoint: FinetuningEndpoint, rows: Path) -> None:
    endpoint.refuse = (400, "Invalid hyperparameter n_epochs")
    with pytest.raises(TrainingError, match="status 400: Invalid hyperparameter n_epochs") as caught:
        run(endpoint, rows)
    assert "huggingface" not in str(caught.value)


def test_a_refused_key(endpoint: FinetuningEndpoint, rows: Path) -> None:
    with pytest.raises(CredentialsError, match="refused the key") as caught:
        run(endpoint, rows, api_key="sk-wrong")
    assert "sk-wrong" not in str(caught.value)


def test_credentials_in_a_url_are_told_nowhere(endpoint: FinetuningEndpoint, rows: Path) -> None:
    with pytest.raises(CredentialsError, match="401") as refused:
        run(endpoint, rows, base_url=endpoint.url.replace("://", "://user:secret-word@"))
    assert "secret-word" not in str(refused.value)
    assert not (rows.parent / "state.json").exists()


def test_no_key(endpoint: FinetuningEndpoint, rows: Path) -> None:
    with pytest.raises(CredentialsError, match="OPENAI_API_KEY"):
        run(endpoint, rows, api_key=None)
    assert not endpoint.calls


def test_too_few_examples_are_never_uploaded(endpoint: FinetuningEndpoint, rows: Path) -> None:
    rows.write_text("{}\n" * 9, encoding="utf-8")
    with pytest.raises(DatasetError, match="has 9 examples"):
        run(endpoint, rows)
    assert not endpoint.calls


def test_a_damaged_state_is_named(endpoint: FinetuningEndpoint, rows: Path) -> None:
    (rows.parent / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"state\.json is damaged"):
        run(endpoint, rows)


def test_keys_never_reach_the_state_file(endpoint: FinetuningEndpoint, rows: Path) -> None:
    run(endpoint, rows)
    assert KEY not in (rows.parent / "state.json").read_text(encoding="utf-8")
