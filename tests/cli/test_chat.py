"""``autograms chat``: a conversation over standard input, saved and resumed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch):
    def type_lines(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return type_lines


def chat(run: Run, chatbot: Path, *more: object):
    return run("chat", chatbot, "--model", "offline/demo", "--supervisor_mode", "--user_goes_first", *more)


def test_talks_until_the_input_ends(run: Run, chatbot: Path, say) -> None:
    say("I am Ada", "I am Bob")
    ended = chat(run, chatbot)
    assert ended.status == 0
    assert "bot: Good day, Ada.\nbot: Good day, Bob." in ended.out
    assert "no measure of any model" in ended.out


@pytest.mark.parametrize("word", ["exit", "quit", "/quit"])
def test_exit_ends_it(run: Run, chatbot: Path, say, word: str) -> None:
    say(word, "I am Ada")
    assert "Good day" not in chat(run, chatbot).out


def test_a_saved_conversation_resumes_in_another_process(run: Run, chatbot: Path, say, tmp_path: Path) -> None:
    file = tmp_path / "conversation.json"
    say("I am Ada")
    assert chat(run, chatbot, "--saveload_file", file).status == 0
    say("I am Bob")
    ended = chat(run, chatbot, "--saveload_file", file)
    assert "you: I am Ada\nbot: Good day, Ada.\nbot: Good day, Bob." in ended.out


def test_save_and_load_inside(run: Run, chatbot: Path, say, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    say("I am Ada", f"/save {file}", "I am Bob", f"/load {file}", "/load nowhere", "/what")
    ended = chat(run, chatbot)
    assert f"saved {file}" in ended.out
    assert "nowhere" in ended.err
    assert ended.out.count("/quit") == 2


def test_the_program_speaks_first(run: Run, tmp_path: Path, say) -> None:
    path = tmp_path / "host.py"
    path.write_text(
        "from autograms import autograms_function\nfrom autograms.functional import reply\n"
        "@autograms_function()\ndef chatbot():\n    reply('Welcome.')\n"
    )
    say("thanks")
    ended = run("chat", path, "--model", "offline/demo")
    assert "bot: Welcome.\n(the program ended" in ended.out


@pytest.fixture
def project(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run("init", tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    monkeypatch.delenv("AUTOGRAMS_PROJECT", raising=False)
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "s"))
    return tmp_path / "p"


def test_an_autogram_of_the_project_by_its_name(run: Run, project: Path, say) -> None:
    say("Hello, what a fine evening!")
    ended = run("chat", "greeter", "--supervisor_mode")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.endswith("bot: Good evening! How may I help you?\n")  # the user goes first, as in its scenarios


def test_an_autogram_that_was_never_trained_says_what_to_run(run: Run, project: Path, say) -> None:
    say("Hello")
    assert_one_message(run("chat", "greeter"), "autograms materialize greeter")


@pytest.mark.parametrize(
    "flags", [("greeter", "--base_url", "http://localhost/v1"), ("chatbots/greeter.py", "--stage", "sft")]
)
def test_flags_that_would_do_nothing_are_refused(run: Run, project: Path, flags: tuple[str, ...]) -> None:
    assert_one_message(run("chat", *flags), flags[1])


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    path = tmp_path / "guide.py"
    path.write_text(GUIDE)
    return path


GUIDE = (
    "from autograms import autograms_function\nfrom autograms.functional import reply\n"
    "@autograms_function()\ndef chatbot(topic):\n    while True:\n        reply(f'About {topic}.')\n"
)


def test_keywords_of_the_program(run: Run, guide: Path, say) -> None:
    say("go on")
    ended = run("chat", guide, "--model", "offline/demo", "--chatbot_kwargs", '{"topic": "boats"}')
    assert (ended.status, ended.out.count("bot: About boats.")) == (0, 2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "missing a required argument: 'topic'"),
        (("--chatbot_kwargs", '{"topc": 1}'), "no keyword 'topc'; did you mean 'topic'?"),
        (("--chatbot_kwargs", "topic=boats"), "is no JSON"),
        (("--chatbot_kwargs", "[1]"), "is [1]"),
    ],
)
def test_keywords_that_do_not_fit_name_the_flag(run: Run, guide: Path, given: tuple[str, ...], told: str) -> None:
    assert_one_message(run("chat", guide, "--model", "offline/demo", *given), told, '--chatbot_kwargs \'{"NAME"')


def test_keywords_of_a_conversation_that_is_resumed_are_its_own(run: Run, guide: Path, say, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    command = ("chat", guide, "--model", "offline/demo", "--saveload_file", file)
    say("go on")
    assert run(*command, "--chatbot_kwargs", '{"topic": "boats"}').status == 0
    say("go on")
    assert run(*command).out.count("bot: About boats.") == 3


def test_an_autogram_of_the_project_takes_its_first_scenario(run: Run, project: Path, say) -> None:
    (project / "chatbots/greeter.py").write_text(GUIDE)
    (project / "scenarios/greeter.json").write_text(
        '[{"chatbot_kwargs": {"topic": "tea"}}, {"chatbot_kwargs": {"topic": "rain"}}]'
    )
    say("go on")
    told = run("chat", "greeter", "--supervisor_mode").out
    assert 'chatbot_kwargs: {"topic": "tea"} (of the first scenario)' in told
    assert "bot: About tea." in told
    say("go on")
    told = run("chat", "greeter", "--supervisor_mode", "--chatbot_kwargs", '{"topic": "boats"}').out
    assert "scenario)" not in told
    assert "bot: About boats." in told


def test_a_missing_program(run: Run, tmp_path: Path) -> None:
    assert_one_message(run("chat", tmp_path / "no.py", "--model", "offline/demo"), "no.py")


def test_a_damaged_saved_conversation_stays_as_it_is(run: Run, chatbot: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text("{")
    assert_one_message(chat(run, chatbot, "--saveload_file", file), "c.json")
    assert file.read_text() == "{"


def test_a_loaded_conversation_shows_the_tools_that_were_called(run: Run, tmp_path: Path, say) -> None:
    path, file = tmp_path / "looks.py", tmp_path / "c.json"
    path.write_text(
        "from autograms import autograms_function\nfrom autograms.functional import reply_instruction\n"
        "def look(at: str) -> int:\n    return len(at)\n"
        "@autograms_function()\ndef chatbot():\n    while True:\n        reply_instruction('Look.', tools=[look])\n"
    )
    say("How long is it?")
    assert chat(run, path, "--saveload_file", file).status == 0
    say("And now?")
    out = chat(run, path, "--saveload_file", file).out
    assert 'you: How long is it?\nbot: calls look(at="(offline demo) at")\ntool: 17\nbot: (offline demo)' in out
