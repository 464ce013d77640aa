"""The command line as a whole: help, start-up, the guide's scripts, statuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from autograms.cli.main import COMMANDS, main
from tests.cli.conftest import Run, assert_one_message

ROOT = Path(__file__).parents[2]
HEAVY = "{'torch', 'transformers', 'trl', 'datasets', 'openai', 'pandas', 'pyarrow', 'dagster', 'aiohttp', 'rich'}"


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, check=False)


def test_start_up_imports_nothing_heavy() -> None:
    code = f"import sys; import autograms.cli.main as m; m.main(['--help']); print(sorted({HEAVY} & set(sys.modules)))"
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


def test_no_arguments_show_the_commands(run: Run) -> None:
    ended = run()
    assert ended.status == 0
    for name in COMMANDS:
        assert f"\n  {name}" in ended.out


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_has_an_example(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.status == 0
    assert f"autograms {command}" in ended.out.split("Example:")[1]


@pytest.mark.parametrize(
    ("script", "flag"),
    [
        ("run_simulation.py", "--simulation_list_file"),
        ("run_finetuning.py", "--finetuning_type"),
        ("run_autogram.py", "--saveload_file"),
    ],
)
def test_the_guides_scripts(script: str, flag: str) -> None:
    done = python(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {script} [OPTIONS]")
    assert flag in done.stdout


def test_a_script_refuses_with_status_2(tmp_path: Path) -> None:
    done = python(str(ROOT / "run_simulation.py"), "--autogram_file", "no.py", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no autogram at no.py")
    assert list(tmp_path.iterdir()) == []


def test_dashes_and_underscores_are_the_same(run: Run, tmp_path: Path) -> None:
    first = run("simulate", "--autogram-file", tmp_path / "x.py", "--num-turns", 1)
    assert first == run("simulate", "--autogram_file", tmp_path / "x.py", "--num_turns", 1)
    assert_one_message(first, "x.py")


@pytest.mark.parametrize(
    ("arguments", "only", "hint"),
    [
        (("simulate", "--nope"), None, "(see autograms simulate --help)"),
        (("nope",), None, "(see autograms --help)"),
        (("--nope",), "simulate", "(see autograms --help)"),
    ],
)
def test_a_wrong_option_points_to_the_commands_own_help(
    run: Run, arguments: tuple[str, ...], only: str | None, hint: str
) -> None:
    assert_one_message(run(*arguments, only=only), hint)


def test_who_talks_stands_before_what_is_seldom_needed(run: Run) -> None:
    options = re.findall(r"^  (--\w+)", run("simulate", "--help").out, re.MULTILINE)
    assert options[:3] == ["--autogram_file", "--userbot_file", "--model"]
    assert options.index("--base_url") < options.index("--engine")


def test_an_interrupt_is_status_130(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(path: object, what: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autograms.cli.configuration.read_options", interrupted)
    ended = run("simulate", "--autogram_file", tmp_path / "x.py", "--config_file", tmp_path / "c.json")
    assert ended.status == 130
    assert ended.err == "interrupted\n"


def test_what_the_system_refuses_is_one_message(run: Run, chatbot: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    ended = run("init", blocker / "project")
    assert_one_message(ended, "file")


def test_a_mistake_of_ours_is_no_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def mistaken(path: object, what: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("autograms.cli.configuration.read_options", mistaken)
    with pytest.raises(ZeroDivisionError):
        main(["simulate", "--autogram_file", str(tmp_path / "x.py"), "--config_file", "c.json"])
