"""Dagster's home, its environment, and how its process ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograms.cli.orchestration import environment, run_module, scratch_folder, storage_root

ROOT = Path(__file__).parents[2]


def test_the_home_is_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert environment()["DAGSTER_HOME"] == str(tmp_path / ".dagster")
    assert (tmp_path / ".dagster/dagster.yaml").read_text() == (ROOT / "dagster_project/dagster.yaml").read_text()


def test_the_home_and_the_results_lie_in_a_project_that_is_found_upward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chatbots").mkdir()
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "chatbots")
    assert environment()["DAGSTER_HOME"] == str(tmp_path / ".dagster")
    assert storage_root() == tmp_path / "storage"
    assert scratch_folder(storage_root()) == tmp_path / "storage/.work"


def test_what_stands_in_the_home_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster/dagster.yaml").write_text("mine: true\n")
    environment()
    assert (tmp_path / ".dagster/dagster.yaml").read_text() == "mine: true\n"


def test_a_given_home_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert environment()["DAGSTER_HOME"] == str(tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


def test_the_exit_status_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ends.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
    assert run_module(["ends", "0"]) == 0
    assert run_module(["ends", "7"]) == 7
