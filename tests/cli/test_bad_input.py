"""Wrong input: one message that names the thing, exit status 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


def simulate(run: Run, chatbot: Path, folder: Path, *more: object, model: str = "offline/demo"):
    return run("simulate", "--autogram_file", chatbot, "--model", model, "--save_dir", folder, *more)


def test_missing_autogram_file(run: Run, tmp_path: Path, folder: Path) -> None:
    assert_one_message(simulate(run, tmp_path / "nowhere.py", folder), "nowhere.py", "chatbot()")
    assert not folder.exists()


def test_missing_userbot_file(run: Run, chatbot: Path, tmp_path: Path, folder: Path) -> None:
    assert_one_message(simulate(run, chatbot, folder, "--userbot_file", tmp_path / "gone.py"), "gone.py")
    assert not folder.exists()


def test_file_without_chatbot(run: Run, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("def helper():\n    pass\n")
    assert_one_message(simulate(run, path, folder), "empty.py", "chatbot()", "helper")
    assert not folder.exists()


def test_syntax_error(run: Run, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ndef chatbot(:\n    pass\n")
    assert_one_message(simulate(run, path, folder), "broken.py:2", "syntax error")
    assert not folder.exists()


def test_userbot_that_raises(run: Run, chatbot: Path, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "angry.py"
    path.write_text(
        "from autograms import autograms_function\n@autograms_function()\ndef chatbot():\n    raise ValueError('no')\n"
    )
    scenarios = tmp_path / "one.json"
    scenarios.write_text('[{"num_turns": 1, "user_goes_first": true}]')
    ended = simulate(run, chatbot, folder, "--userbot_file", path, "--simulation_list_file", scenarios)
    assert_one_message(ended, "every conversation failed", "ValueError of the userbot at", "angry.py:4: no")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[{]", "JSON"),
        ("{}", "list"),
        ("[]", "empty"),
        ('[{"num_turns": 0}]', "num_turns"),
        ('[{"num_turn": 1}]', "num_turns"),
        ("[1]", "scenario 1"),
    ],
)
def test_bad_scenario_list(run: Run, chatbot: Path, tmp_path: Path, folder: Path, text: str, part: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    assert_one_message(simulate(run, chatbot, folder, "--simulation_list_file", path), "list.json", part)
    assert not folder.exists()


def test_missing_scenario_list(run: Run, chatbot: Path, tmp_path: Path, folder: Path) -> None:
    assert_one_message(simulate(run, chatbot, folder, "--simulation_list_file", tmp_path / "no.json"), "no.json")


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("opnai/x", "did you mean 'openai'"),
        ("openai/", "openai/NAME"),
        ("offline/x", "demo"),
    ],
)
def test_unknown_model(run: Run, chatbot: Path, folder: Path, model: str, part: str) -> None:
    assert_one_message(simulate(run, chatbot, folder, model=model), part)
    assert not folder.exists()


def test_no_key(run: Run, chatbot: Path, folder: Path) -> None:
    assert_one_message(simulate(run, chatbot, folder, model="openai/gpt-4o-mini"), "OPENAI_API_KEY", "--api_key_file")
    assert not folder.exists()


def test_results_are_not_overwritten_unless_asked(run: Run, chatbot: Path, userbot: Path, simulated: Path) -> None:
    before = (simulated / "memories.parquet").read_bytes()
    assert_one_message(simulate(run, chatbot, simulated, "--userbot_file", userbot), "--allow_overwrite")
    assert (simulated / "memories.parquet").read_bytes() == before


def test_save_dir_that_is_a_file(run: Run, chatbot: Path) -> None:
    assert_one_message(simulate(run, chatbot, chatbot), "is a file")


def test_bad_config_files(run: Run, chatbot: Path, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "config.json"
    assert_one_message(simulate(run, chatbot, folder, "--config_file", path), "config.json")
    path.write_text("{")
    assert_one_message(simulate(run, chatbot, folder, "--config_file", path), "config.json", "JSON")
    path.write_text('{"chatbot_pth": "x"}')
    assert_one_message(simulate(run, chatbot, folder, "--config_file", path), "config.json", "chatbot_path")


def test_bad_memory_file(run: Run, chatbot: Path, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "memory.json"
    assert_one_message(simulate(run, chatbot, folder, "--memory_file", path), "memory.json")
    path.write_text("{}")
    assert_one_message(simulate(run, chatbot, folder, "--memory_file", path), "memory.json", "saved memory")
    assert not folder.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate",),
        ("simulate", "--autogram_file", "x.py", "--num_turns", "0"),
        ("simulate", "--autogram_file", "x.py", "--num_example", "1"),
        ("nonsense",),
        ("chat",),
        ("finetune", "--finetuning_type", "rlhf"),
    ],
)
def test_wrong_flags(run: Run, arguments: tuple[str, ...]) -> None:
    assert_one_message(run(*arguments), "--help")


def test_unknown_partition(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("init", tmp_path / "project").status == 0
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "project"))
    assert_one_message(run("materialize", "greter"), "greter", "did you mean 'greeter'")
    assert_one_message(run("show", "greter"), "greter", "did you mean 'greeter'")
    assert not (tmp_path / ".dagster").exists()


def test_materialize_refuses_a_broken_program_before_dagster_starts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("init", tmp_path / "project").status == 0
    (tmp_path / "project/chatbots/greeter.py").write_text("def chatbot(:")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert_one_message(run("materialize", "greeter"), "greeter.py:1", "syntax error")
    assert not (tmp_path / "home").exists()


def test_no_project(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "nowhere"))
    for command in (("sync",), ("show",), ("materialize", "x")):
        assert_one_message(run(*command), "nowhere", "AUTOGRAMS_PROJECT")


def test_forcing_an_unknown_asset(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("init", tmp_path / "project").status == 0
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "project"))
    ended = run("materialize", "greeter", "--select", "dpo_modl", "--force")
    assert_one_message(ended, "did you mean 'dpo_model'")
