"""How each asset was last materialized, as the command line asks for it."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from dagster_project.history import last_materializations, main


def materialized(instance: dg.DagsterInstance, asset: str, partition: str | None, *, reused: bool) -> None:
    @dg.asset(name=asset, partitions_def=dg.StaticPartitionsDefinition([partition]) if partition is not None else None)
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"reused": reused, "seconds": 1.5, "rows": 3})

    assert dg.materialize([made], instance=instance, partition_key=partition).success


def test_the_last_one_of_the_autogram_counts() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        materialized(instance, "sft_model", "bot", reused=False)
        materialized(instance, "sft_model", "bot", reused=True)
        materialized(instance, "sft_model", "other", reused=False)
        found = last_materializations(instance, "bot", ["sft_model", "dpo_model"])
    assert set(found) == {"sft_model"}
    assert found["sft_model"]["reused"] is True
    assert found["sft_model"]["seconds"] == 1.5


def test_the_leaderboard_has_no_partition() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        materialized(instance, "leaderboard", None, reused=True)
        assert last_materializations(instance, "bot", ["leaderboard"])["leaderboard"]["reused"] is True


def test_prints_json(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert main(["bot", "sft_model"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {}
