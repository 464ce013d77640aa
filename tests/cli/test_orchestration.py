"""Dagster's home, its environment, and how its process ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograms.cli.orchestration import environment, run_module


def test_the_home_is_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    found = environment(tmp_path / "project")
    assert found["DAGSTER_HOME"] == str(tmp_path / ".dagster")
    assert found["AUTOGRAMS_PROJECT"] == str(tmp_path / "project")
    assert "enabled: false" in (tmp_path / ".dagster/dagster.yaml").read_text()


def test_what_stands_in_the_home_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster/dagster.yaml").write_text("mine: true\n")
    environment(tmp_path)
    assert (tmp_path / ".dagster/dagster.yaml").read_text() == "mine: true\n"


def test_a_given_home_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert environment(tmp_path)["DAGSTER_HOME"] == str(tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


def test_the_exit_status_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ends.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
    assert run_module(["ends", "0"], tmp_path) == 0
    assert run_module(["ends", "7"], tmp_path) == 7
