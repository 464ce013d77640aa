import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from upath import UPath

from autograms.cli.orchestration import storage_root
from autograms.settings import find_project, load_project
from autograms_assets.workspace import Workspace
from dagster_project import defs
from dagster_project.build import build_defs
from dagster_project.resources import build_resources

ASSETS = {
    "autogram": set(),
    "scenarios": {"autogram"},
    "conversation_memories": {"autogram", "scenarios"},
    "sft_dataset": {"conversation_memories"},
    "dpo_dataset": {"conversation_memories"},
    "sft_model": {"sft_dataset"},
    "dpo_model": {"dpo_dataset", "sft_model"},
    "evaluation": {
        "autogram",
        "scenarios",
        "conversation_memories",
        "sft_dataset",
        "dpo_dataset",
        "sft_model",
        "dpo_model",
    },
    "leaderboard": {"evaluation"},
}
CHECKS = {
    "conversation_memories:few_failed",
    "conversation_memories:some_completed",
    "dpo_dataset:chosen_differs",
    "dpo_dataset:has_pairs",
    "dpo_dataset:no_leakage",
    "dpo_dataset:no_secrets",
    "dpo_dataset:rows_fit",
    "evaluation:better_than_base",
    "sft_dataset:balanced_decisions",
    "sft_dataset:enough_rows",
    "sft_dataset:has_rows",
    "sft_dataset:no_leakage",
    "sft_dataset:no_secrets",
    "sft_dataset:rows_fit",
}
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "openai", "pandas", "matplotlib", "aiohttp")


def graph() -> dict[str, set[str]]:
    nodes = defs.resolve_asset_graph().asset_nodes
    return {node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys} for node in nodes}


def test_the_assets_and_what_they_stand_on() -> None:
    assert graph() == ASSETS


def test_the_checks() -> None:
    keys = defs.resolve_asset_graph().asset_check_keys
    assert {f"{key.asset_key.to_user_string()}:{key.name}" for key in keys} == CHECKS


def test_the_jobs_and_sensors() -> None:
    repository = defs.get_repository_def()
    assert {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")} == {
        "autogram_chain",
        "simulate",
        "finetune",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {"autogram_files", "autogram_conditions"}


def test_one_command_can_run_everything() -> None:
    keys = set(defs.resolve_asset_graph().get_all_asset_keys())
    assert defs.get_repository_def().get_implicit_job_def_for_assets(keys) is not None


@pytest.mark.parametrize("asset", sorted(ASSETS))
def test_every_asset_presents_itself(asset: str) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey(asset))
    assert node.description
    assert node.group_name != "default"
    assert node.kinds
    assert node.is_partitioned == (asset != "leaderboard")


@pytest.mark.parametrize(
    ("asset", "pool"), [("conversation_memories", "simulation"), ("sft_model", "gpu"), ("evaluation", "gpu")]
)
def test_expensive_assets_wait_for_their_pool(asset: str, pool: str) -> None:
    assert defs.resolve_asset_graph().get(dg.AssetKey(asset)).pools == {pool}


@pytest.mark.parametrize("module", ["dagster_project", "dagster_project.preload"])
def test_loading_imports_nothing_heavy(tmp_path: Path, module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert found.stdout.strip() == "[]"


def test_resources_can_be_replaced(tmp_path: Path) -> None:
    mine = Workspace(tmp_path, UPath("memory://mine"))
    assert build_defs({"workspace": mine}).resources["workspace"] is mine


def test_the_environment_says_which_project_and_storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOGRAMS_PROJECT", "mine")
    monkeypatch.setenv("AUTOGRAMS_STORAGE", "s3://bucket/folder")
    assert build_resources(find_project())["workspace"] == Workspace(
        tmp_path / "mine", UPath("s3://bucket/folder"), beside=tmp_path / "storage"
    )


@pytest.mark.parametrize("below", [".", "chatbots"])
def test_dagster_finds_the_project_and_the_storage_that_the_command_line_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, below: str
) -> None:
    (tmp_path / "chatbots").mkdir()
    monkeypatch.chdir(tmp_path / below)
    workspace = build_defs().resources["workspace"]
    assert isinstance(workspace, Workspace)
    assert (workspace.root, str(workspace.storage)) == (load_project().root, str(storage_root()))
    assert workspace.root == tmp_path


def test_the_workspace_file_loads() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    environment = {**os.environ, "DAGSTER_HOME": ""}
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 0, found.stderr


def test_the_instance_file_is_accepted(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "dagster_project" / "dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False
        assert instance.run_monitoring_enabled is True
        assert instance.run_retries_enabled is True


def test_the_launchpad_asks_for_nothing_but_force() -> None:
    config = defs.resolve_job_def("autogram_chain").run_config_schema.config_type
    filled = json.loads(config.fields["resources"].default_value_as_json_str)  # type: ignore[attr-defined]
    assert filled == {name: {} for name in build_resources(find_project())}
    asset = config.fields["ops"].config_type.fields["scenarios"].config_type  # type: ignore[attr-defined]
    fields = asset.fields["config"].config_type.fields
    assert set(fields) == {"force"}
    assert "although nothing changed" in fields["force"].description
    assert set(config.fields["execution"].config_type.fields["config"].config_type.fields) == set()  # type: ignore[attr-defined]


def test_owners_are_those_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRAMS_OWNERS", "ann@example.org, team:data")
    nodes = build_defs().resolve_asset_graph().asset_nodes
    assert {tuple(node.owners) for node in nodes} == {("ann@example.org", "team:data")}
    monkeypatch.delenv("AUTOGRAMS_OWNERS")
    assert not any(node.owners for node in build_defs().resolve_asset_graph().asset_nodes)
