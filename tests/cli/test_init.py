"""``autograms init``: a project that runs as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autograms.cli.main import COMMANDS
from autograms.settings import load_project
from tests.cli.conftest import Run, assert_one_message


def test_the_project_is_whole(run: Run, tmp_path: Path) -> None:
    assert run("init", tmp_path / "p").status == 0
    project = load_project(tmp_path / "p")
    assert project.names() == ["greeter"]
    settings = project.settings("greeter")
    assert project.userbot_file(settings) is not None
    assert project.scenario_file(settings) is not None


def test_its_next_steps_work_as_they_are_pasted(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = run("init", "my project").out.splitlines()
    steps = [line.split("#")[0].strip() for line in told[told.index("next:") + 1 :]]
    assert steps == ["cd 'my project'"] + [
        f"autograms {step}" for step in ("plan", "materialize greeter", "show greeter", "chat greeter", "dev")
    ]
    monkeypatch.chdir(tmp_path / "my project")
    planned = run("plan")
    assert planned.status == 0, planned.err
    assert "greeter" in planned.out
    for name, *arguments in (step.split()[1:] for step in steps[1:]):
        assert COMMANDS[name]
        assert not arguments or load_project().chatbot_file(arguments[0])


def test_its_programs_simulate(run: Run, tmp_path: Path) -> None:
    project = tmp_path / "p"
    run("init", project)
    ended = run(
        *("simulate", "--autogram_file", project / "chatbots/greeter.py", "--model", "offline/demo"),
        *("--userbot_file", project / "userbots/visitor.py", "--save_dir", tmp_path / "d"),
        *("--simulation_list_file", project / "scenarios/greeter.json"),
    )
    assert ended.status == 0, ended.err
    assert "0 failed" in ended.out


def test_refuses_a_folder_that_holds_something(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert_one_message(run("init", tmp_path), "not an empty folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.long
def test_its_chain_materializes_twice(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", tmp_path / "p")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "p"))
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "s"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "h"))
    assert run("materialize", "greeter").status == 0
    ended = run("materialize", "greeter")
    assert ended.status == 0
    assert ended.out.count("reused: ") == 9
    assert re.search(r"^done in \d+ s; autograms show greeter tells what came out$", ended.out, re.MULTILINE)
    ended = run("show", "greeter")
    assert ended.status == 0
    assert "preference accuracy" in ended.out
    assert ended.out.count("reused") == 9
