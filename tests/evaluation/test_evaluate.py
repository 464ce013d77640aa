from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograms.errors import DatasetError, ModelError
from autograms.evaluation import Evaluation, evaluate
from autograms.settings import EvaluationSettings
from tests.finetuning.rows import dpo_table, sft_table
from tests.finetuning.small import Small

# Real trainings: on a busy machine importing their libraries alone can take a minute.
pytestmark = pytest.mark.timeout(600)


def test_metrics_hold_what_is_promised(evaluation: Evaluation) -> None:
    metrics = json.loads((evaluation.report.parent / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == evaluation.metrics
    for section, key in [
        ("sft", "eval_loss_before"),
        ("sft", "eval_loss_after"),
        ("sft", "exact_match_before"),
        ("sft", "exact_match_after"),
        ("dpo", "preference_accuracy"),
        ("dpo", "margin"),
        ("dpo", "exact_match_after"),
    ]:
        low, high = metrics[section]["intervals"][key]
        assert low <= metrics[section][key] <= high, (section, key)
    assert metrics["rows"] == {"sft": 12, "dpo": 12}


def test_before_is_the_model_it_came_from(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics
    assert metrics["sft"]["eval_loss_before"] == metrics["base"]["eval_loss"]
    assert metrics["dpo"]["eval_loss_before"] == metrics["sft"]["eval_loss_after"]
    assert metrics["sft"]["eval_loss_after"] < metrics["sft"]["eval_loss_before"]


def test_the_verdict_follows_its_interval(evaluation: Evaluation) -> None:
    verdict = evaluation.metrics["verdict"]
    assert verdict["better"] == evaluation.better == (verdict["interval"][0] > 0)
    assert ("is better" in evaluation.verdict) == evaluation.better
    assert verdict["model"] == "dpo"


def test_the_verdict_tells_how_good_and_beside_what(evaluation: Evaluation) -> None:
    exact = evaluation.metrics["dpo"]["exact_match_after"]
    assert "better than its base, an untrained model: " in evaluation.verdict
    assert f"; by itself: exact match {exact:.3f}, conversations as supervised 1.000; " in evaluation.verdict


def test_the_report_shows_figures_pictures_and_conversations(evaluation: Evaluation) -> None:
    text = evaluation.report.read_text(encoding="utf-8")
    assert text.startswith("# Evaluation of desk")
    assert evaluation.verdict in text
    assert "| held-out measure (95 % interval) | base | SFT | DPO |" in text
    assert "I am base \\| \\<b\\>" in text
    assert "*failed: no choice*" in text
    for picture in evaluation.pictures:
        assert f"({picture.name})" in text


def test_the_pictures_are_pictures(evaluation: Evaluation) -> None:
    import matplotlib.image

    assert [path.name for path in evaluation.pictures] == ["before_after.png", "loss.png", "margin.png", "lengths.png"]
    for path in evaluation.pictures:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        height, width, _ = matplotlib.image.imread(path).shape
        assert height > 200
        assert width > 400


def test_deployment_is_counted(evaluation: Evaluation) -> None:
    assert evaluation.metrics["deployment"]["dpo"] == {"conversations": 2, "failed": 1}
    assert evaluation.verdict.endswith("; 1 of its 2 conversations in deployment failed")


def test_conversations_are_compared_with_the_supervised_ones(evaluation: Evaluation) -> None:
    assert evaluation.metrics["base"]["conversation_agreement"] == 0.0
    assert evaluation.metrics["dpo"]["conversation_agreement_after"] == 1.0
    assert "| conversations as supervised | 0.000" in evaluation.report.read_text(encoding="utf-8")


def test_the_report_leads_to_the_page_with_all_conversations(evaluation: Evaluation) -> None:
    assert "[comparison.html](comparison.html)" in evaluation.report.read_text(encoding="utf-8")
    assert evaluation.comparison == evaluation.report.parent / "comparison.html"
    page = evaluation.comparison.read_text(encoding="utf-8")
    assert "I am base | &lt;b&gt;" in page
    assert "Supervisor" in page
    assert evaluation.verdict in page


def test_nothing_half_written_remains(evaluation: Evaluation) -> None:
    assert not [path.name for path in evaluation.report.parent.iterdir() if path.name.startswith(".")]


def run(small: Small, output: Path, **values: object) -> Evaluation:
    options: dict[str, object] = {
        "sft_table": sft_table(60),
        "dpo_table": dpo_table(60).slice(0, 0),
        "base": small.folder / "sft" / "base",
        "sft": small.folder / "sft",
        "dpo": None,
        "output_dir": output,
        "settings": EvaluationSettings(max_new_tokens=4, max_rows=4),
    }
    return evaluate(**{**options, **values})  # type: ignore[arg-type]


def test_without_pairs_and_dpo_model(small: Small, tmp_path: Path) -> None:
    found = run(small, tmp_path / "out")
    assert "dpo" not in found.metrics
    assert found.metrics["verdict"]["model"] == "sft"
    assert [path.name for path in found.pictures] == ["before_after.png", "loss.png", "lengths.png"]


def test_a_model_is_not_better_than_itself(small: Small, tmp_path: Path) -> None:
    found = run(small, tmp_path / "out", base=small.folder / "sft")
    assert not found.better
    assert "is not better than its base: +0.000" in found.verdict
    assert "deployment" not in found.verdict


def test_no_held_out_rows(small: Small, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="validation_fraction"):
        run(small, tmp_path / "out", sft_table=sft_table(60).slice(0, 0))
    assert not (tmp_path / "out").exists()


def test_a_missing_model_is_named(small: Small, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        run(small, tmp_path / "out", sft=tmp_path / "nowhere")
