"""Dagster's state in PostgreSQL, by the block that the shipped ``dagster.yaml`` has in comments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.autograms_assets.projects import ScratchProject
from tests.postgresql import missing_postgresql, serve_postgresql

ROOT = Path(__file__).parents[2]
SELECTION = "autogram,scenarios,conversation_memories,sft_dataset"


def settings_for_a_team() -> str:
    """Return the shipped settings with the comment signs taken off the block about PostgreSQL."""
    text = (ROOT / "dagster_project" / "dagster.yaml").read_text(encoding="utf-8")
    before, mark, block = text.partition("# storage:\n")
    assert mark
    return before + "".join(line.removeprefix("# ") for line in (mark + block).splitlines(keepends=True))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed")
    if (missing := missing_postgresql()) is not None:
        pytest.skip(missing)
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(settings_for_a_team(), encoding="utf-8")
    with serve_postgresql() as url:
        monkeypatch.setenv("AUTOGRAMS_POSTGRES", url)
        yield folder


@pytest.mark.long
def test_a_chain_runs_and_is_reused(home: Path, project: ScratchProject, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "AUTOGRAMS_PROJECT": str(project.root),
        "AUTOGRAMS_STORAGE": str(tmp_path / "storage"),
    }

    def python(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout + done.stderr

    materialize = ("dagster", "asset", "materialize", "-m", "dagster_project", "--select", SELECTION)
    python("dagster_project.sync")
    assert "reused: nothing" not in python(*materialize, "--partition", "desk")
    assert python(*materialize, "--partition", "desk").count("reused: nothing") == 4
    assert not list(home.rglob("*.db"))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_dynamic_partitions("autogram") == ["desk"]
        runs = instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 2
        record = instance.get_latest_materialization_event(dg.AssetKey("sft_dataset"))
        assert record is not None
        assert record.asset_materialization is not None
        assert record.asset_materialization.metadata["reused"].value is True
