"""``autograms plan``: stale conversations and calls of a project, without asking a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message


@pytest.fixture
def project(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run("init", tmp_path / "p")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "p"))
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "s"))
    return tmp_path / "p"


def test_rules_that_answer_everything_cost_nothing(run: Run, project: Path) -> None:
    ended = run("plan", "greeter")
    assert ended.status == 0, ended.err
    assert "never simulated: 48" in ended.out
    assert "$0.0000" in ended.out


def test_an_endpoint_needs_no_key_to_be_planned(run: Run, project: Path) -> None:
    (project / "chatbots/talker.py").write_text(
        "from autograms import autograms_function\nfrom autograms.functional import reply_instruction\n"
        "@autograms_function()\ndef chatbot():\n    while True:\n        reply_instruction('Say something.')\n"
    )
    settings = project / "autograms.toml"
    settings.write_text('[autograms.talker]\nmodel = "openai/gpt-4o-mini"\nnum_examples = 3\nnum_turns = 1\n')
    ended = run("plan", "talker")
    assert ended.status == 0, ended.err
    assert "openai/gpt-4o-mini: 9" in ended.out


def test_without_a_name_all_are_planned(run: Run, project: Path) -> None:
    assert "greeter" in run("plan").out


def test_an_unknown_name(run: Run, project: Path) -> None:
    assert_one_message(run("plan", "greter"), "did you mean 'greeter'")


def test_a_file_that_is_no_program_holds_back_nobody(run: Run, project: Path) -> None:
    (project / "chatbots/aaa.py").write_text("def price():\n    pass\n")
    for command in ("plan", "show"):
        ended = run(command)
        assert_one_message(ended, "aaa.py defines no chatbot()", "_aaa.py", "/NAME/aaa.py")
        assert "greeter" in ended.out


def test_a_module_that_a_program_imports_is_no_autogram(run: Run, project: Path) -> None:
    (project / "chatbots/prices.py").write_text("PRICE = 1\n")
    greeter = project / "chatbots/greeter.py"
    greeter.write_text("from prices import PRICE\n" + greeter.read_text())
    for command in ("plan", "show"):
        ended = run(command)
        assert (ended.status, ended.err) == (0, "")
        assert "prices.py" not in ended.out
        assert "greeter" in ended.out


def test_what_would_fail_is_told(run: Run, project: Path) -> None:
    greeter = project / "chatbots/greeter.py"
    greeter.write_text(greeter.read_text().replace("in said)", "in said.lowr())"))
    ended = run("plan")
    assert_one_message(ended, "every conversation of greeter would fail", "greeter.py:10", "lowr")
    assert "would fail" in ended.out
    assert "rehearsed" not in ended.out
