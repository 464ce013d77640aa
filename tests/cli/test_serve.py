"""``autograms serve``: the process as a whole. What it answers: ``tests/serving``."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from autograms.finetuning.student import build_tiny
from tests.cli.conftest import Run, assert_one_message
from tests.serving.conftest import PROGRAM

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "chatbots").mkdir()
    (tmp_path / "chatbots" / "listener.py").write_text(PROGRAM)
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path))
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "storage"))
    monkeypatch.delenv("AUTOGRAMS_SERVE_KEY", raising=False)
    return tmp_path


@contextmanager
def served(*arguments: str, logged: list[str] | None = None) -> Iterator[openai.OpenAI]:
    """Run the command, and end it by Ctrl-C; it must then end in peace. What it logs is appended to ``logged``."""
    command = [sys.executable, "-m", "autograms.cli", "serve", *arguments, "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/v1", line)))
        yield openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in errors
    if logged is not None:
        logged += errors.splitlines()


def test_a_conversation_is_resumed_by_another_process(project: Path) -> None:
    with served("listener", "--model", "offline/demo") as client:
        first = client.chat.completions.create(model="listener", messages=[{"role": "user", "content": "one"}])
    assert first.choices[0].message.content == "heard: one"
    identity = first.model_extra["conversation_id"]
    assert (project / "storage" / "conversations" / "listener" / f"{identity}.json").is_file()
    with served("listener", "--model", "offline/demo") as client:
        second = client.chat.completions.create(
            model="listener",
            messages=[{"role": "user", "content": "two"}],
            extra_headers={"X-Conversation-Id": identity},
        )
        streamed = client.chat.completions.create(
            model="listener",
            messages=[{"role": "user", "content": "three"}],
            extra_body={"conversation_id": identity},
            stream=True,
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
        *said, told = client.chat.completions.create(
            model="listener",
            messages=[{"role": "user", "content": "four"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    assert not any(chunk.usage for chunk in said)
    assert (told.choices, told.usage.total_tokens) == ([], 0)
    assert second.choices[0].message.content == "heard: one, two"
    assert text == "heard: one, two, three"


def first_answers(client: openai.OpenAI) -> list[str]:
    """Return the answers to a first message, whole and streamed, and to no message."""
    said: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "one"}]
    whole = client.chat.completions.create(model="listener", messages=said)
    streamed = client.chat.completions.create(model="listener", messages=said, stream=True)
    alone = client.chat.completions.create(model="listener", messages=[])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    return [whole.choices[0].message.content or "", text, alone.choices[0].message.content or ""]


GREETER = """
from autograms.functional import extract_last_user_reply, reply


def chatbot():
    reply("Welcome!")
    while True:
        reply(f"about {extract_last_user_reply()}")
"""


def test_a_program_that_greets_answers_the_first_message(project: Path) -> None:
    (project / "chatbots" / "listener.py").write_text(GREETER)
    with served("listener", "--model", "offline/demo") as client:
        assert first_answers(client) == ["about one", "about one", "Welcome!"]
    with served("listener", "--model", "offline/demo", "--user_goes_first") as client:
        assert first_answers(client) == ["Welcome!", "Welcome!", "Welcome!"]


def test_who_speaks_first_is_as_in_the_scenarios(project: Path) -> None:
    (project / "chatbots" / "listener.py").write_text(GREETER)
    (project / "scenarios").mkdir()
    (project / "scenarios" / "list.json").write_text('[{"user_goes_first": true}, {}]')
    (project / "autograms.toml").write_text('[autograms.listener]\nscenarios = "list.json"\n')
    with served("listener", "--model", "offline/demo") as client:
        assert first_answers(client)[0] == "Welcome!"
    with served("listener", "--model", "offline/demo", "--program_goes_first") as client:
        assert first_answers(client)[0] == "about one"


def test_the_trained_model_answers_alone_and_in_the_program(project: Path) -> None:
    build_tiny(["Hello there, who are you?", "I am a student."], project / "storage" / "sft_model" / "listener")
    with served("listener", "--model_only") as client:
        alone = client.chat.completions.create(
            model="listener", messages=[{"role": "user", "content": "Hello"}], max_tokens=3
        )
    assert alone.usage is not None
    assert 1 <= alone.usage.completion_tokens <= 3
    with served("listener") as client:
        thought = client.chat.completions.create(model="listener", messages=[{"role": "user", "content": "think"}])
    assert thought.usage is not None
    assert thought.usage.completion_tokens > 0


@pytest.mark.usefixtures("project")
def test_the_message_of_an_error_is_logged_where_it_is_asked_for() -> None:
    for flags, ends in ((), r"KeyError at \S+listener\.py:\d+"), (("--verbose",), r"KeyError at \S+: 'crash 4711'"):
        logged: list[str] = []
        with (
            served("listener", "--model", "offline/demo", *flags, logged=logged) as client,
            pytest.raises(openai.InternalServerError) as told,
        ):
            client.chat.completions.create(model="x", messages=[{"role": "user", "content": "crash 4711"}])
        assert "4711" not in str(told.value)
        assert re.fullmatch(f"listener: status 500: {ends}", logged[-1])


@pytest.mark.usefixtures("project")
def test_beyond_this_machine_it_wants_a_key(run: Run) -> None:
    ended = run("serve", "listener", "--model", "offline/demo", "--host", "0.0.0.0")
    assert_one_message(ended, "--host 0.0.0.0", "set AUTOGRAMS_SERVE_KEY")


@pytest.mark.usefixtures("project")
def test_a_taken_port_is_named(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("serve", "listener", "--model", "offline/demo", "--port", port)
    assert ended.status == 2
    assert f"cannot listen at 127.0.0.1:{port}" in ended.err


@pytest.mark.usefixtures("project")
def test_without_a_trained_model_the_remedy_is_told(run: Run) -> None:
    assert_one_message(run("serve", "listener"), "listener", "autograms materialize listener")
    assert_one_message(run("serve", "lisener"), "no autogram 'lisener'", "did you mean 'listener'?")
