from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from autograms.errors import CredentialsError, EndpointError, ModelError, ModelNameError, OutputError
from autograms.models import Model, OpenAIModel, Reply, Request
from autograms.models.base import identity_of
from autograms.models.openai import choice_probabilities
from tests.endpoint import Endpoint

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def asked(text: str = "Hello.", **options: Any) -> Request:
    return Request(options.pop("kind", "text"), [{"role": "user", "content": text}], **options)


def answer(model: Model, request: Request) -> Reply:
    async def main() -> Reply:
        try:
            return await model.complete(request)
        finally:
            await model.close()

    return asyncio.run(main())


def test_a_text_its_usage_and_its_model(endpoint: Endpoint) -> None:
    reply = answer(OpenAIModel("small", base_url=endpoint.url), asked())
    assert reply.text.startswith("Answer ")
    assert reply.model == "openai/small"
    assert reply.input_tokens > 0
    assert reply.output_tokens == len(reply.text.split())
    assert reply.cost_usd is None


def test_a_known_model_costs(endpoint: Endpoint) -> None:
    reply = answer(OpenAIModel("gpt-4o-mini", base_url=endpoint.url), asked())
    assert reply.cost_usd == pytest.approx((reply.input_tokens * 0.15 + reply.output_tokens * 0.6) / 1e6)


def test_without_usage_the_cost_is_unknown(endpoint: Endpoint) -> None:
    endpoint.script(usage=False)
    reply = answer(OpenAIModel("gpt-4o-mini", base_url=endpoint.url), asked())
    assert (reply.input_tokens, reply.output_tokens, reply.cost_usd) == (0, 0, None)


def test_messages_and_keywords_are_sent_as_they_are(endpoint: Endpoint) -> None:
    endpoint.script(record=True)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "é"}]}]
    answer(
        OpenAIModel("small", base_url=endpoint.url),
        Request("text", messages, params={"temperature": 0.5, "stop": ["x"], "top_k": 3}),
    )
    (request,) = endpoint.requests()
    assert request["path"] == "/v1/chat/completions"
    assert request["body"] == {"model": "small", "messages": messages, "temperature": 0.5, "stop": ["x"], "top_k": 3}


@pytest.mark.parametrize("named", ["other", "openai/other"])
def test_a_request_may_name_another_model_of_the_endpoint(endpoint: Endpoint, named: str) -> None:
    endpoint.script(record=True)
    reply = answer(OpenAIModel("small", base_url=endpoint.url), asked(model=named))
    assert reply.model == "openai/other"
    assert endpoint.requests()[0]["body"]["model"] == "other"


def test_a_request_cannot_name_another_provider(endpoint: Endpoint) -> None:
    with pytest.raises(ModelNameError, match="offline/demo"):
        answer(OpenAIModel("small", base_url=endpoint.url), asked(model="offline/demo"))


def test_of_several_answers_the_first_is_used(endpoint: Endpoint) -> None:
    endpoint.script(answers=[{"answer": ["first", "second"]}])
    assert answer(OpenAIModel("small", base_url=endpoint.url), asked(params={"n": 2})).text == "first"


def test_a_choice_is_asked_as_text_without_response_format(endpoint: Endpoint) -> None:
    endpoint.script(record=True)
    text = "Which?\nAnswer with one of these, word for word:\n- red\n- blue"
    reply = answer(OpenAIModel("small", base_url=endpoint.url), asked(text, kind="choice", choices=("red", "blue")))
    assert reply.text == "red"
    assert reply.probabilities is None
    assert set(endpoint.requests()[0]["body"]) == {"model", "messages"}


def test_probabilities_come_with_logprobs(endpoint: Endpoint) -> None:
    request = asked(
        "Sure?\nAnswer with one word: Yes or No.",
        kind="choice",
        choices=("Yes", "No"),
        params={"logprobs": True, "top_logprobs": 5},
    )
    reply = answer(OpenAIModel("small", base_url=endpoint.url), request)
    assert reply.probabilities is not None
    assert sum(reply.probabilities) == pytest.approx(1.0)
    assert reply.probabilities[0] > reply.probabilities[1] > 0


def logprobs(**tokens: float) -> dict[str, Any]:
    top = [{"token": token, "logprob": math.log(share)} for token, share in tokens.items()]
    return {"content": [{"token": "x", "logprob": 0.0, "top_logprobs": top}]}


@pytest.mark.parametrize(
    ("choices", "tokens", "shares"),
    [
        (("Yes", "No"), {"Yes": 0.6, " yes": 0.2, "no": 0.2, "Maybe": 0.1}, [0.8, 0.2]),
        (("refund", "shipping"), {"ref": 0.3, "ship": 0.1}, [0.75, 0.25]),
        (("No", "None"), {"No": 0.5, "None": 0.5}, [0.5, 0.5]),
        (("blue one", "blue two"), {"blue": 0.9}, None),
        (("Yes", "No"), {"Perhaps": 0.9}, None),
    ],
)
def test_probabilities_of_choices(
    choices: tuple[str, ...], tokens: dict[str, float], shares: list[float] | None
) -> None:
    found = choice_probabilities(choices, logprobs(**tokens))
    assert found == (None if shares is None else pytest.approx(shares))


class Order(BaseModel):
    number: int
    lines: list[str]


class Loose(BaseModel):
    number: int = 3


@pytest.mark.parametrize(("kind", "strict"), [(Order, True), (Loose, False)])
def test_an_object_is_asked_by_its_schema(endpoint: Endpoint, kind: type[BaseModel], strict: bool) -> None:
    endpoint.script(record=True)
    schema = kind.model_json_schema()
    request = asked(kind="object", schema=schema, schema_name="the order!")
    reply = answer(OpenAIModel("small", base_url=endpoint.url), request)
    kind.model_validate_json(reply.text)
    form = endpoint.requests()[0]["body"]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "the_order_"
    assert form["json_schema"]["strict"] is strict
    assert "additionalProperties" not in schema, "the program's schema stays as it is"


def test_an_endpoint_without_response_format_is_asked_once_with_it(endpoint: Endpoint) -> None:
    endpoint.script(response_format=False, answers=[{"answer": {"a": "b"}}], record=True)
    model = OpenAIModel("small", base_url=endpoint.url)
    for _ in range(3):
        assert answer(model, asked(kind="object", schema=OBJECT)).text == '{"a": "b"}'
    assert ["response_format" in request["body"] for request in endpoint.requests()] == [True, False, False, False]


def test_one_refused_schema_does_not_speak_for_others(endpoint: Endpoint) -> None:
    failure = {"status": 400, "contains": '"bad"', "message": "Invalid schema for response_format 'answer'", "first": 1}
    endpoint.script(failures=[failure], answers=[{"answer": {"a": "b"}}], record=True)
    model = OpenAIModel("small", base_url=endpoint.url)
    bad = {**OBJECT, "description": "bad"}
    for schema in (bad, bad, OBJECT):
        answer(model, asked(kind="object", schema=schema))
    assert ["response_format" in request["body"] for request in endpoint.requests()] == [True, False, False, True]


def test_another_400_of_an_object_is_an_error(endpoint: Endpoint) -> None:
    with pytest.raises(EndpointError, match="the request holds a marker"):
        answer(OpenAIModel("small", base_url=endpoint.url), asked("[[status 400]]", kind="object", schema=OBJECT))
    assert endpoint.stats()["requests"] == 1


def test_a_model_that_wants_max_completion_tokens_gets_it(endpoint: Endpoint) -> None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    endpoint.script(failures=[{"status": 400, "contains": '"max_tokens"', "message": message}], record=True)
    model = OpenAIModel("small", base_url=endpoint.url)
    for _ in range(2):
        answer(model, asked(params={"max_tokens": 7}))
    sent = [request["body"].get("max_completion_tokens") for request in endpoint.requests()]
    assert sent == [None, 7, 7]


def test_a_stream_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ModelError, match="stream"):
        answer(OpenAIModel("small", base_url=endpoint.url), asked(params={"stream": True}))


def test_no_key_for_openai_names_where_one_goes() -> None:
    with pytest.raises(CredentialsError, match=r"OPENAI_API_KEY.*--api_key_file"):
        OpenAIModel("gpt-4o-mini")


def test_key_and_endpoint_come_from_the_environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.script(key="right-key")
    monkeypatch.setenv("OPENAI_API_KEY", "right-key")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    assert answer(OpenAIModel("small"), asked()).text


def test_arguments_win_over_the_environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.script(key="right-key")
    monkeypatch.setenv("OPENAI_API_KEY", "wrong-key")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert answer(OpenAIModel("small", base_url=endpoint.url, api_key="right-key"), asked()).text


def test_a_key_that_the_endpoint_says_back_is_not_told(endpoint: Endpoint) -> None:
    key = "gsk_0123456789abcdef0123456789abcdef"
    endpoint.script(failures=[{"status": 401, "first": 1, "message": f"Incorrect API key provided: {key}"}])
    with pytest.raises(CredentialsError) as error:
        answer(OpenAIModel("small", base_url=endpoint.url, api_key=key), asked())
    assert key not in str(error.value)
    assert "Incorrect API key" in str(error.value)


def test_no_key_sends_no_header(endpoint: Endpoint) -> None:
    endpoint.script(record=True)
    answer(OpenAIModel("small", base_url=endpoint.url), asked())
    assert "authorization" not in endpoint.requests()[0]["head"]


def test_embeddings_keep_their_order_over_many_requests(endpoint: Endpoint) -> None:
    model = OpenAIModel("small", base_url=endpoint.url)

    async def main() -> tuple[list[list[float]], list[list[float]]]:
        many = await model.embed([str(number) for number in range(1100)])
        one = await model.embed(["1050"], model="openai/other")
        await model.close()
        return many, one

    many, one = asyncio.run(main())
    assert len(many) == 1100
    assert many[1050] == one[0]
    assert endpoint.stats()["requests"] == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda choice: choice["message"].update(content=None, refusal="I must not"), "refused to answer: I must not"),
        (lambda choice: choice["message"].update(content=None, tool_calls=[{}]), "tool calls"),
        (lambda choice: (choice["message"].update(content=""), choice.update(finish_reason="length")), "max_tokens"),
        (lambda choice: choice["message"].update(content=None), "without a text"),
    ],
)
def test_an_answer_without_a_text_says_why(change: Callable[[dict[str, Any]], Any], says: str) -> None:
    choice = {"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    change(choice)
    model = OpenAIModel("small", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(OutputError, match=says):
        model._read(asked(), model._serve("small"), {"choices": [choice]})


@pytest.mark.parametrize("data", [{}, {"choices": []}, {"error": {"message": "overloaded"}}, {"choices": "x"}])
def test_an_answer_that_is_no_completion_is_an_error(data: dict[str, Any]) -> None:
    model = OpenAIModel("small", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(EndpointError, match=data.get("error", {}).get("message", "no choices")):
        model._read(asked(), model._serve("small"), data)


def test_it_serves_one_event_loop_after_another(endpoint: Endpoint, recwarn: pytest.WarningsRecorder) -> None:
    model = OpenAIModel("small", base_url=endpoint.url)
    texts = {asyncio.run(model.complete(asked())).text for _ in range(3)}
    assert len(texts) == 1
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]


def test_it_can_be_used_again_after_close(endpoint: Endpoint) -> None:
    async def main() -> list[str]:
        model = OpenAIModel("small", base_url=endpoint.url)
        texts = []
        for _ in range(2):
            texts.append((await model.complete(asked())).text)
            await model.close()
        return texts

    first, second = asyncio.run(main())
    assert first == second


@pytest.mark.parametrize(
    ("base_url", "variable", "identity"),
    [
        (None, None, "openai/small"),
        ("https://api.openai.com/v1/", None, "openai/small"),
        ("http://gpu:8000/v1", None, "openai/small@http://gpu:8000/v1"),
        (None, "http://gpu:8000/v1", "openai/small@http://gpu:8000/v1"),
        ("https://user:secret@gpu/v1?api-key=secret", None, "openai/small@https://gpu/v1"),
    ],
)
def test_the_endpoint_tells_models_of_one_name_apart(
    base_url: str | None, variable: str | None, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", variable)
    model = OpenAIModel("small", base_url=base_url, api_key="k")
    assert identity_of(model) == identity
    assert identity_of(model, "other") == identity.replace("openai/small", "other")
