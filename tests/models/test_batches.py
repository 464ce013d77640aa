"""The batch API of an endpoint: what goes up, what comes back, what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from autograms.errors import CredentialsError, EndpointError, ModelNameError
from autograms.models import OpenAIModel, RetryPolicy
from autograms.models.batches import Answer, Batch, BatchApi, line_of
from tests.endpoint import Endpoint

QUICK = RetryPolicy(max_tries=3, first_wait=0.01, longest_wait=0.02)
BODY = b'{"model":"small","messages":[{"role":"user","content":"Hello."}]}'


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file of two requests, the second of which is refused."""
    file = tmp_path / "requests.jsonl"
    file.write_bytes(line_of("a-0", BODY) + line_of("b-0", BODY.replace(b"Hello", b"[[status 422]]")))
    return file


def asked(endpoint: Endpoint, work: Callable[[BatchApi], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        model = OpenAIModel("small", base_url=endpoint.url, retry=QUICK, **options)
        try:
            return await work(model.batches)
        finally:
            await model.close()

    return asyncio.run(main())


def test_a_line_is_a_request() -> None:
    line = json.loads(line_of("a-0", BODY))
    assert line == {"custom_id": "a-0", "method": "POST", "url": "/v1/chat/completions", "body": json.loads(BODY)}


def test_a_batch_from_its_file_to_its_answers(endpoint: Endpoint, lines: Path) -> None:
    endpoint.script(batches={"looks": 2})

    async def work(api: BatchApi) -> list[Any]:
        made = await api.create(await api.upload(lines), "mark")
        found = await api.find("mark")
        seen = [made, found, await api.look(made.id), await api.look(made.id)]
        return [*seen, dict(await api.answers(seen[-1])), await api.find("another")]

    made, found, first, last, answers, other = asked(endpoint, work)
    assert made == found == Batch("batch-1", "validating")
    assert (first.status, first.ended, first.done) == ("in_progress", False, 1)
    assert (last.status, last.ended, last.done, len(last.files)) == ("completed", True, 2, 2)
    assert other is None
    assert answers["a-0"].data["choices"][0]["message"]["content"].startswith("Answer")
    assert (answers["b-0"].status, answers["b-0"].message) == (422, "the request holds a marker")
    assert [answers[name].passes for name in ("a-0", "b-0")] == [False, False]


def test_uploads_are_tried_again(endpoint: Endpoint, lines: Path) -> None:
    endpoint.script(batches={"failures": [{"status": 500, "first": 2}]})
    assert asked(endpoint, lambda api: api.upload(lines)) == "file-1"


def test_a_creation_whose_answer_is_lost_is_found_again(endpoint: Endpoint, lines: Path) -> None:
    endpoint.script(batches={"cut_off": 1})

    async def work(api: BatchApi) -> Batch:
        return await api.create(await api.upload(lines), "mark")

    assert asked(endpoint, work).id == "batch-1"
    assert len(endpoint.stats()["batches"]["made"]) == 1


def test_a_creation_that_failed_is_tried_again(endpoint: Endpoint, lines: Path) -> None:
    async def work(api: BatchApi) -> Batch:
        file = await api.upload(lines)
        endpoint.script(batches={"failures": [{"status": 503, "first": 100}]})
        with pytest.raises(EndpointError, match="503"):
            await api.create(file, "mark")
        endpoint.script()
        return await api.create(await api.upload(lines), "mark")

    assert asked(endpoint, work).status == "validating"


def test_a_cancelled_batch(endpoint: Endpoint, lines: Path) -> None:
    async def work(api: BatchApi) -> tuple[Batch, Batch, dict[str, Answer]]:
        made = await api.create(await api.upload(lines), "mark")
        cancelled, last = await api.cancel(made.id), await api.look(made.id)
        return cancelled, last, dict(await api.answers(last))

    cancelled, last, answers = asked(endpoint, work)
    assert (cancelled.status, last.status, last.ended) == ("cancelling", "cancelled", True)
    assert (answers["a-0"].status, answers["a-0"].passes) == (0, True)


def test_a_failed_batch_says_why(endpoint: Endpoint, lines: Path) -> None:
    endpoint.script(batches={"fates": ["failed"]})

    async def work(api: BatchApi) -> Batch:
        return await api.look((await api.create(await api.upload(lines), "mark")).id)

    assert asked(endpoint, work).problems == ("invalid_request: the line is not a request (line 1)",)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_endpoint_without_the_api(endpoint: Endpoint, lines: Path, status: int) -> None:
    endpoint.script(batches={"missing": status})
    with pytest.raises(EndpointError, match=f"{endpoint.url} has no batch API .* answered {status}.*batch = false"):
        asked(endpoint, lambda api: api.upload(lines))


def test_a_wrong_key(endpoint: Endpoint, lines: Path) -> None:
    endpoint.script(key="sk-right-and-long")
    with pytest.raises(CredentialsError, match="refused the key"):
        asked(endpoint, lambda api: api.upload(lines), api_key="sk-wrong-and-long")
    assert asked(endpoint, lambda api: api.upload(lines), api_key="sk-right-and-long") == "file-1"


def test_errors_are_those_of_requests_that_are_sent_at_once(endpoint: Endpoint) -> None:
    async def work(api: BatchApi) -> list[Exception]:
        answers = [
            Answer(401, {"error": {"message": "no"}}),
            Answer(404, {"error": {"message": "The model does not exist"}}),
            Answer(400, {"error": {"message": "wrong"}}),
            Answer(500, {"error": {"message": "sorry"}}),
            Answer(0, {"error": {"code": "batch_expired", "message": "too late"}}),
        ]
        return [api.error(answer) for answer in answers]

    errors = asked(endpoint, work)
    assert [type(error) for error in errors] == [
        *(CredentialsError, ModelNameError, EndpointError, EndpointError, EndpointError)
    ]
    assert "did not answer in 3 batches, last: batch_expired: too late" in str(errors[-1])
    assert [getattr(error, "status", None) for error in errors[2:]] == [400, 500, None]
