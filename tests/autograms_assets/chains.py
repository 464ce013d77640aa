"""Running the project's assets in a test: a real instance, a scratch project, storage beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from autograms.settings import Place
from dagster_project.build import build_defs
from dagster_project.resources import build_resources
from tests.autograms_assets.projects import ScratchProject

TO_DATASETS = ("autogram", "scenarios", "conversation_memories", "sft_dataset", "dpo_dataset")


@dataclass
class Outcome:
    """What one run did.

    Attributes:
        success: Whether it succeeded.
        metadata: By asset, what was recorded.
        versions: By asset, its data version.
        checks: By ``asset:check``, whether it passed.
        failures: By step, the failure's message.
        told: By ``asset:check``, what it found.
    """

    success: bool
    metadata: dict[str, dict[str, Any]]
    versions: dict[str, str]
    checks: dict[str, bool]
    failures: dict[str, str]
    told: dict[str, str]

    @property
    def made(self) -> set[str]:
        """The assets that were made and not reused."""
        return {asset for asset, found in self.metadata.items() if not found["reused"]}

    @property
    def reused(self) -> set[str]:
        """The assets that were reused."""
        return {asset for asset, found in self.metadata.items() if found["reused"]}


class Chain:
    """The definitions over a scratch project, and an instance to run them in."""

    def __init__(self, project: ScratchProject, instance: dg.DagsterInstance, url: str | None = None) -> None:
        self.project = project
        self.instance = instance
        self.storage = project.root.parent / "storage"
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AUTOGRAMS_STORAGE", url or str(self.storage))
            self.defs = build_defs(build_resources(Place(project.root, project.root.parent)))

    def run(
        self,
        *assets: str,
        name: str = "desk",
        tags: dict[str, str] | None = None,
        force: tuple[str, ...] = (),
    ) -> Outcome:
        """Materialize assets of one partition, those up to the datasets where none are named."""
        self.instance.add_dynamic_partitions("autogram", [name])
        result = self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey(asset) for asset in assets or TO_DATASETS],
            partition_key=name,
            instance=self.instance,
            raise_on_error=False,
            tags=tags,
            run_config={
                "ops": {asset: {"config": {"force": True}} for asset in force},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
        return _outcome(result)

    def stored(self, asset: str, name: str = "desk") -> Path:
        """Return the file of a stored table."""
        return self.storage / asset / f"{name}.parquet"


def _outcome(result: dg.ExecuteInProcessResult) -> Outcome:
    metadata, versions, failures = {}, {}, {}
    for event in result.get_asset_materialization_events():
        materialization = event.materialization
        asset = materialization.asset_key.to_user_string()
        metadata[asset] = {key: value.value for key, value in materialization.metadata.items()}
        versions[asset] = (materialization.tags or {})["dagster/data_version"]
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        described = data.user_failure_data.description if data.user_failure_data else None
        failures[str(event.step_key)] = described or str(data.error)
    found = {f"{check.asset_key.to_user_string()}:{check.check_name}": check for check in _checks(result)}
    checks = {name: check.passed for name, check in found.items()}
    told = {name: check.description or "" for name, check in found.items()}
    return Outcome(result.success, metadata, versions, checks, failures, told)


def _checks(result: dg.ExecuteInProcessResult) -> Sequence[dg.AssetCheckEvaluation]:
    return result.get_asset_check_evaluations()


def scenario_rows(*items: str) -> str:
    """Return a scenario list's text: one conversation for each item."""
    return json.dumps([{"num_turns": 1, "user_kwargs": {"item": item}, "user_goes_first": True} for item in items])
