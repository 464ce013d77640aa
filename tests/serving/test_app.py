from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from autograms import Autogram
from autograms.errors import EndpointError
from autograms.models import Request, ScriptedModel
from autograms.serving import Conversations, ModelTalker, ProgramTalker, build_app
from tests.serving.conftest import say, serving, text_of

HIDING = """
from autograms import autograms_function
from autograms.functional import multiple_choice, reply


@autograms_function()
def chatbot():
    reply("Hello")
    multiple_choice("Internal policy: may this user have it?", ["secretly yes", "secretly no"])
"""


def test_a_conversation_goes_on_by_its_id(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        first = await say(client, "one")
        assert text_of(first) == "heard: one"
        assert first[1]["model"] == "listener"
        assert first[1]["data"] == {"count": 1}
        identity = first[1]["conversation_id"]
        assert text_of(await say(client, "two", identity)) == "heard: one, two"
        assert text_of(await say(client, "three", conversation_id=identity)) == "heard: one, two, three"
        assert text_of(await say(client, "alone")) == "heard: alone"

    serving(app, use)


def test_the_id_stands_in_a_header_too_and_the_client_may_choose_it(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        body = {"messages": [{"role": "user", "content": "one"}]}
        answer = await client.post("/v1/chat/completions", json=body, headers={"X-Conversation-Id": "mine-1"})
        assert answer.headers["X-Conversation-Id"] == "mine-1"

    serving(app, use)


def test_a_program_that_speaks_first_answers_the_first_message(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        first = await say(client, "one", chatbot_kwargs={"greeting": "Good day"})
        assert text_of(first) == "heard: one"
        assert first[1]["greeting"] == "Good day, who are you?"
        assert first[1]["data"] == {"count": 1}
        second = await say(client, "two", first[1]["conversation_id"])
        assert text_of(second) == "heard: one, two"
        assert "greeting" not in second[1]

    serving(app, use)


def test_where_the_user_goes_first_nothing_is_said_before(program: Path, tmp_path: Path) -> None:
    model = ScriptedModel(["a thought"])
    kept = Conversations(Autogram.from_file(program, model=model), tmp_path / "kept", user_goes_first=True)

    async def use(client: TestClient) -> None:
        first = await say(client, "think")
        assert text_of(first) == "a thought"
        assert "greeting" not in first[1]
        assert [message["role"] for message in model.requests[0].messages] == ["user"]

    serving(build_app(ProgramTalker("listener", kept)), use)


def test_a_first_turn_that_fails_leaves_no_conversation(app: web.Application, conversations: Conversations) -> None:
    async def use(client: TestClient) -> None:
        assert (await say(client, "crash", "mine"))[0] == 500
        assert not conversations.folder.exists()
        assert text_of(await say(client, "one", "mine")) == "heard: one"

    serving(app, use)


@pytest.mark.parametrize(
    ("source", "kwargs", "told"),
    [
        (None, {"greting": "Hi"}, "'greting'; did you mean 'greeting'? (it takes greeting='Hello')"),
        ("def chatbot(name, *, tone='kind'): pass", {}, "missing a required argument: 'name' (it takes name, tone="),
        ("def chatbot(): pass", {"name": "Ann"}, "'name' (it takes none)"),
        ("def chatbot(clinic): pass", {"clinc": "x"}, "no keyword 'clinc'; did you mean 'clinic'? (it takes clinic)"),
    ],
)
def test_keywords_that_do_not_fit_are_named(
    program: Path, tmp_path: Path, source: str | None, kwargs: dict[str, Any], told: str
) -> None:
    if source is not None:
        program.write_text(source)
    kept = Conversations(Autogram.from_file(program, model=ScriptedModel()), tmp_path / "kept")

    async def use(client: TestClient) -> None:
        status, data = await say(client, "one", chatbot_kwargs=kwargs)
        assert (status, data["error"]["type"], data["error"]["param"]) == (
            400,
            "invalid_request_error",
            "chatbot_kwargs",
        )
        assert "does not fit chatbot()" in data["error"]["message"]
        assert told in data["error"]["message"]

    serving(build_app(ProgramTalker("listener", kept)), use)


def test_the_program_may_begin_and_take_keywords(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        answer = await say(client, None, chatbot_kwargs={"greeting": "Good day"})
        assert text_of(answer) == "Good day, who are you?"
        assert text_of(await say(client, "Ada", answer[1]["conversation_id"])) == "heard: Ada"

    serving(app, use)


def test_the_end_of_the_program_is_told(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        first = await say(client, "one")
        assert first[1]["ended"] is False
        last = await say(client, "bye", first[1]["conversation_id"])
        assert (last[1]["ended"], text_of(last)) == (True, "")

    serving(app, use)


def test_tokens_of_the_turns_calls_are_counted(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        first = await say(client, "think")
        assert text_of(first) == "a thought"
        usage = first[1]["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        second = await say(client, "one", first[1]["conversation_id"])
        assert second[1]["usage"]["total_tokens"] == 0

    serving(app, use)


def test_an_answer_can_be_streamed(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        body = {"messages": [{"role": "user", "content": "one"}], "stream": True}
        answer = await client.post("/v1/chat/completions", json=body)
        lines = [line for line in (await answer.text()).split("\n\n") if line]
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
        assert lines[-1] == "data: [DONE]"
        assert chunks[0]["choices"][0]["delta"]["content"] == "heard: one"
        assert chunks[1]["choices"][0]["finish_reason"] == "stop"
        assert answer.headers["X-Conversation-Id"] == chunks[0]["conversation_id"]

    serving(app, use)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "no JSON"),
        (b"[]", "JSON object"),
        (b"{}", "'messages'"),
        (b'{"messages": "hi"}', "'messages'"),
        (b'{"messages": [{"role": "robot", "content": "x"}]}', "'messages'"),
        (b'{"messages": [{"role": "user"}]}', "'messages'"),
        (b'{"messages": [], "n": 2}', "'n' is not supported"),
        (b'{"messages": [], "tools": [{}]}', "'tools' is not supported"),
        (b'{"messages": [], "chatbot_kwargs": [1]}', "'chatbot_kwargs'"),
        (b'{"messages": [], "stream": true, "stream_options": 1}', "'stream_options'"),
        (b'{"messages": [], "conversation_id": 3}', "'conversation_id'"),
        (b'{"messages": [{"role": "system", "content": "x"}]}', "must be the user's"),
        (b'{"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]}', "earlier turns"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "no text"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(app: web.Application, body: bytes, told: str) -> None:
    async def use(client: TestClient) -> None:
        answer = await client.post("/v1/chat/completions", data=body, headers={"Content-Type": "application/json"})
        assert answer.status == 400
        error = (await answer.json())["error"]
        assert told in error["message"]
        assert error["type"] == "invalid_request_error"

    serving(app, use)


def test_a_program_that_fails_is_named_by_its_line_and_not_by_what_was_said(
    app: web.Application, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(client: TestClient) -> None:
        first = await say(client, "one")
        status, data = await say(client, "crash 4711", first[1]["conversation_id"])
        assert status == 500
        assert "could not answer (KeyError)" in data["error"]["message"]
        assert "listener.py" not in data["error"]["message"]
        assert "4711" not in data["error"]["message"]
        (line,) = [record.getMessage() for record in caplog.records if record.name == "autograms.serving.app"]
        assert re.fullmatch(r"listener: status 500: KeyError at .*listener\.py:14", line)
        assert text_of(await say(client, "two", first[1]["conversation_id"])) == "heard: one, two"

    serving(app, use)


def test_a_model_that_fails_is_a_bad_gateway(program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(request: Request) -> str:
        raise EndpointError("the endpoint is asleep", 503)

    chatbot = Autogram.from_file(program, model=ScriptedModel(fail))
    app = build_app(ProgramTalker("listener", Conversations(chatbot, tmp_path / "kept")))

    async def use(client: TestClient) -> None:
        status, data = await say(client, "think")
        assert (status, data["error"]["type"]) == (502, "server_error")
        assert "the model could not answer (EndpointError)" in data["error"]["message"]
        assert "asleep" not in data["error"]["message"]
        assert "EndpointError at " in caplog.text
        assert "asleep" not in caplog.text

    serving(app, use)


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_the_caller_is_never_told_what_the_program_hides(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    program.write_text(HIDING)
    chatbot = Autogram.from_file(program, model=ScriptedModel(["the margin is 40%"] * 9))
    app = build_app(ProgramTalker("listener", Conversations(chatbot, tmp_path / "kept")))

    async def use(client: TestClient) -> None:
        status, data = await say(client, "discount?")
        assert status == 502
        for hidden in ("margin", "policy", "secretly yes", str(tmp_path)):
            assert hidden not in json.dumps(data)
        assert ("margin" in caplog.text) == (level == logging.DEBUG)  # the program's author may ask for it

    with caplog.at_level(level, "autograms.serving.app"):
        serving(app, use)


def test_the_caller_is_not_told_what_a_changed_program_had_asked(program: Path, tmp_path: Path) -> None:
    before = Conversations(Autogram.from_file(program, model=ScriptedModel(["a thought"])), tmp_path / "kept")

    async def begin(client: TestClient) -> None:
        assert text_of(await say(client, "think", "mine")) == "a thought"

    serving(build_app(ProgramTalker("listener", before)), begin)
    program.write_text(program.read_text().replace('"Answer."', '"The secret policy."'))
    after = Conversations(Autogram.from_file(program, model=ScriptedModel()), tmp_path / "kept")

    async def go_on(client: TestClient) -> None:
        status, data = await say(client, "one", "mine")
        assert status == 409
        assert "begin a new one" in data["error"]["message"]
        assert "policy" not in data["error"]["message"]
        assert "Answer" not in data["error"]["message"]

    serving(build_app(ProgramTalker("listener", after)), go_on)


# --------------------------------------------------------------------------------------------------------- who may ask


def test_a_name_that_is_not_loopback_is_refused_without_a_key(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        body = {"messages": [{"role": "user", "content": "one"}]}
        answer = await client.post("/v1/chat/completions", json=body, headers={"Host": "evil.example:80"})
        assert answer.status == 403

    serving(app, use)


def test_a_web_pages_plain_post_is_refused(app: web.Application, conversations: Conversations) -> None:
    async def use(client: TestClient) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            body = b'{"messages": [{"role": "user", "content": "one"}]}'
            answer = await client.post("/v1/chat/completions", data=body, headers={"Content-Type": kind})
            assert answer.status == 415
        assert not conversations.folder.exists()

    serving(app, use)


def test_with_a_key_only_who_sends_it_is_served(conversations: Conversations) -> None:
    app = build_app(ProgramTalker("listener", conversations), key="secret")

    async def use(client: TestClient) -> None:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer sécret"}):
            answer = await client.get("/v1/models", headers=headers)
            assert answer.status == 401
        named = {"Authorization": "Bearer secret", "Host": "bots.example"}
        assert (await client.get("/v1/models", headers=named)).status == 200
        assert (await client.get("/health")).status == 200

    serving(app, use)


def test_models_and_unknown_paths(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        listed = await (await client.get("/v1/models")).json()
        assert [model["id"] for model in listed["data"]] == ["listener"]
        missing = await client.get("/v1/embeddings")
        assert missing.status == 404
        assert "error" in await missing.json()

    serving(app, use)


def test_a_body_that_is_too_large_is_refused(app: web.Application) -> None:
    async def use(client: TestClient) -> None:
        status, data = await say(client, "x" * (5 * 1024 * 1024))
        assert status == 413
        assert "error" in data

    serving(app, use)


# ---------------------------------------------------------------------------------------------------------- model only


def model_app(script: Any) -> tuple[web.Application, ScriptedModel]:
    model = ScriptedModel(script)
    return build_app(ModelTalker("student", model)), model


def test_a_model_alone_gets_all_messages_and_the_parameters() -> None:
    app, model = model_app(["hello there"])

    async def use(client: TestClient) -> None:
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
        body = {"messages": messages, "temperature": 0.5, "max_tokens": 7, "user": "x"}
        answer = await (await client.post("/v1/chat/completions", json=body)).json()
        assert answer["choices"][0]["message"]["content"] == "hello there"
        assert "conversation_id" not in answer
        request = model.requests[0]
        assert request.messages == messages
        assert request.params == {"temperature": 0.5, "max_tokens": 7}

    serving(app, use)


def test_a_model_alone_answers_in_json_where_it_is_asked_to() -> None:
    app, model = model_app(['{"item": "lamp"}', "no json"])
    schema = {"type": "object", "properties": {"item": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "order", "schema": schema}}

    async def use(client: TestClient) -> None:
        assert text_of(await say(client, "a lamp", response_format=form)) == '{"item": "lamp"}'
        assert model.requests[0].schema == schema
        status, data = await say(client, "a lamp", response_format={"type": "json_object"})
        assert status == 502
        assert "OutputError" in data["error"]["message"]
        assert "no json" not in data["error"]["message"]
        status, _ = await say(client, "a lamp", response_format={"type": "json_schema"})
        assert status == 400

    serving(app, use)


@pytest.mark.parametrize(
    ("fields", "told"), [({"top_p": 5}, "top_p=5.0"), ({"max_tokens": "many"}, "'many'"), ({"max_tokens": 0}, "1 or")]
)
def test_a_model_alone_refuses_keywords_that_cannot_be(fields: dict[str, Any], told: str) -> None:
    app, model = model_app(["hello there"])

    async def use(client: TestClient) -> None:
        status, data = await say(client, "Hi", **fields)
        assert (status, data["error"]["type"]) == (400, "invalid_request_error")
        assert told in data["error"]["message"]
        assert model.requests == []

    serving(app, use)


def test_a_model_alone_needs_a_message() -> None:
    app, _ = model_app([])

    async def use(client: TestClient) -> None:
        assert (await say(client, None))[0] == 400

    serving(app, use)
