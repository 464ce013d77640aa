# No `from __future__ import annotations`: Dagster reads the annotation of an asset's context.
from pathlib import Path

import dagster as dg
import pytest

from autograms.finetuning import finish_job, prepare_job
from autograms.settings import SftRecipe
from tests.finetuning.rows import sft_table

# Real trainings: on a busy machine importing their libraries alone can take a minute.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.long
def test_the_same_worker_runs_through_dagster_pipes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = prepare_job("sft", sft_table(60), SftRecipe(max_steps=4), tmp_path / "model")

    @dg.asset
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        dg.PipesSubprocessClient().run(context=context, command=job.command)
        return dg.MaterializeResult(metadata={"loss": finish_job(job).eval_loss_after})

    assert dg.materialize([model]).success
    assert "step 4/4 | loss" in capfd.readouterr().err
    assert (tmp_path / "model" / "model.safetensors").is_file()
