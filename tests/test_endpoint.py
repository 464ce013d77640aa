from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.conftest import OutsideConnection
from tests.endpoint import Endpoint

MESSAGES = [{"role": "user", "content": "Hello."}]


@pytest.fixture
def client(endpoint: Endpoint) -> Any:
    import openai

    with openai.OpenAI(base_url=endpoint.url, api_key="any", max_retries=0) as client:
        yield client


def test_the_sdk_takes_its_completions(client: Any) -> None:
    first, second = (client.chat.completions.create(model="m", messages=MESSAGES, n=2) for _ in range(2))
    assert first == second
    assert len(first.choices) == 2
    assert first.usage.total_tokens > 0


def test_the_sdk_takes_its_logprobs(client: Any) -> None:
    question = [{"role": "user", "content": "Sure?\nAnswer with one word: Yes or No."}]
    answer = client.chat.completions.create(model="m", messages=question, logprobs=True, top_logprobs=3)
    assert [entry.token for entry in answer.choices[0].logprobs.content[0].top_logprobs] == ["Yes", "No"]


def test_the_sdk_takes_its_embeddings_and_models(client: Any) -> None:
    data = client.embeddings.create(model="m", input=["a", "b", "a"], encoding_format="float").data
    assert data[0].embedding == data[2].embedding != data[1].embedding
    assert [model.id for model in client.models.list()] == ["fake"]


def test_the_sdk_takes_its_files_and_batches(endpoint: Endpoint, client: Any) -> None:
    endpoint.script(batches={"looks": 2})
    body = {"model": "m", "messages": MESSAGES}
    line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = client.files.create(file=("requests.jsonl", json.dumps(line).encode()), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = client.batches.create(**asked, metadata={"a": "b"})
    assert [(each.id, each.metadata) for each in client.batches.list(limit=1)] == [(batch.id, {"a": "b"})]
    assert [client.batches.retrieve(batch.id).status for _ in range(2)] == ["in_progress", "completed"]
    done = client.batches.cancel(batch.id)
    assert (done.request_counts.total, done.request_counts.completed, done.errors) == (1, 1, None)
    answer = json.loads(client.files.content(done.output_file_id).text)
    assert (answer["custom_id"], answer["error"], answer["response"]["status_code"]) == ("one", None, 200)
    assert answer["response"]["body"]["choices"][0]["message"]["role"] == "assistant"
    assert endpoint.stats()["requests"] == 1


def test_the_sdk_reads_its_errors(endpoint: Endpoint, client: Any) -> None:
    import openai

    endpoint.script(failures=[{"status": 429, "headers": {"Retry-After": "1"}}])
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert raised.value.response.headers["retry-after"] == "1"


def test_prepared_answers(endpoint: Endpoint, client: Any) -> None:
    endpoint.script(answers=[{"last": "else", "answer": "other"}, {"last": "Hello", "answer": {"a": 1}}])
    text = client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content
    assert json.loads(text) == {"a": 1}


@pytest.mark.parametrize(("rule", "expected"), [("first", "red"), ("last", "dark blue")])
def test_offered_choices_are_answered(endpoint: Endpoint, client: Any, rule: str, expected: str) -> None:
    endpoint.script(choice=rule)
    question = [{"role": "user", "content": "Which?\nAnswer with one of these, word for word:\n- red\n- dark blue"}]
    assert client.chat.completions.create(model="m", messages=question).choices[0].message.content == expected


def test_stats_count(endpoint: Endpoint, client: Any) -> None:
    for _ in range(2):
        client.chat.completions.create(model="m", messages=MESSAGES)
    stats = endpoint.stats()
    assert (stats["requests"], stats["answered"], stats["distinct"], stats["repeated"]) == (2, 2, 1, 1)
    assert stats["conversations"] == {"Hello.": 2}
    endpoint.reset()
    assert endpoint.stats()["requests"] == 0


def test_unknown_rules_are_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="latncy"):
        endpoint.script(latncy=1)


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.com", 80)])
def test_the_suite_reaches_loopback_only(address: tuple[str, int]) -> None:
    with pytest.raises(OutsideConnection, match=address[0]):
        socket.create_connection(address, timeout=0.1)
