from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest

from autograms.errors import CredentialsError, EndpointError, ModelError, ModelNameError
from autograms.models import Limits, OpenAIModel, Reply, Request, RetryPolicy
from autograms.models.transport import Transport, error_message
from tests.endpoint import Endpoint
from tests.simulation.processes import wait_until

QUICK = RetryPolicy(max_tries=4, first_wait=0.01, longest_wait=0.02)


def asked(text: str = "Hello.") -> Request:
    return Request("text", [{"role": "user", "content": text}])


def model(endpoint: Endpoint, *, retry: RetryPolicy = QUICK, **options: Any) -> OpenAIModel:
    return OpenAIModel("small", base_url=endpoint.url, retry=retry, **options)


def complete(model: OpenAIModel, *texts: str) -> list[Reply | BaseException]:
    async def main() -> list[Reply | BaseException]:
        replies = await asyncio.gather(*[model.complete(asked(text)) for text in texts], return_exceptions=True)
        await model.close()
        return replies

    return asyncio.run(main())


def failing(model: OpenAIModel, text: str = "Hello.") -> ModelError:
    (error,) = complete(model, text)
    assert isinstance(error, ModelError)
    return error


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, "drop"])
def test_a_failure_that_passes_is_sent_again(endpoint: Endpoint, status: int | str) -> None:
    endpoint.script(failures=[{"status": status, "first": 2}])
    (reply,) = complete(model(endpoint), "Hello.")
    assert isinstance(reply, Reply)
    assert endpoint.stats()["requests"] == 3


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, "drop"])
def test_a_failure_that_stays_is_sent_max_tries_times(endpoint: Endpoint, status: int | str) -> None:
    endpoint.script(failures=[{"status": status}])
    error = failing(model(endpoint))
    assert isinstance(error, EndpointError)
    assert error.status == (None if status == "drop" else status)
    assert "4 tries" in str(error)
    assert endpoint.stats()["requests"] == 4


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_any_other_4xx_is_sent_once(endpoint: Endpoint, status: int) -> None:
    error = failing(model(endpoint), f"[[status {status}]]")
    assert isinstance(error, EndpointError)
    assert error.status == status
    assert f"{endpoint.url}/chat/completions answered {status}: the request holds a marker" in str(error)
    assert endpoint.stats()["requests"] == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_sent_once(endpoint: Endpoint, status: int) -> None:
    error = failing(model(endpoint, api_key="sk-secret-of-mine"), f"[[status {status}]]")
    assert isinstance(error, CredentialsError)
    assert "OPENAI_API_KEY" in str(error)
    assert "secret" not in str(error)
    assert endpoint.stats()["requests"] == 1


def test_an_unknown_model_is_named(endpoint: Endpoint) -> None:
    endpoint.script(
        failures=[{"status": 404, "message": "The model `small` does not exist", "code": "model_not_found"}]
    )
    error = failing(model(endpoint))
    assert isinstance(error, ModelNameError)
    assert "`small`" in str(error)


def test_a_wrong_path_says_what_to_check(endpoint: Endpoint) -> None:
    error = failing(OpenAIModel("small", base_url=endpoint.url.removesuffix("/v1") + "/_wrong", retry=QUICK))
    assert "base_url" in str(error)


@pytest.mark.parametrize("code", ["insufficient_quota", "Request too large"])
def test_a_429_that_cannot_pass_is_sent_once(endpoint: Endpoint, code: str) -> None:
    endpoint.script(failures=[{"status": 429, "code": code}])
    assert isinstance(failing(model(endpoint)), EndpointError)
    assert endpoint.stats()["requests"] == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(endpoint: Endpoint, form: str) -> None:
    asked_for = "0.6" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    endpoint.script(failures=[{"status": 429, "first": 1, "headers": {"Retry-After": asked_for}}])
    start = time.monotonic()
    (reply,) = complete(model(endpoint), "Hello.")
    assert isinstance(reply, Reply)
    # A date has no fractions: two seconds ahead is one second at least.
    assert time.monotonic() - start >= (0.6 if form == "seconds" else 0.9)


def test_a_wait_beyond_the_deadline_is_not_begun(endpoint: Endpoint) -> None:
    endpoint.script(failures=[{"status": 503, "headers": {"Retry-After": "3600"}}])
    start = time.monotonic()
    assert isinstance(failing(model(endpoint)), EndpointError)
    assert time.monotonic() - start < 60
    assert endpoint.stats()["requests"] == 1


def test_a_try_that_hangs_is_given_up_and_sent_again(endpoint: Endpoint) -> None:
    endpoint.script(failures=[{"status": "hang", "first": 1}])
    policy = RetryPolicy(max_tries=3, first_wait=0.01, try_seconds=0.3)
    (reply,) = complete(model(endpoint, retry=policy), "Hello.")
    assert isinstance(reply, Reply)
    assert endpoint.stats()["abandoned"] == 1


def test_the_deadline_ends_a_call(endpoint: Endpoint) -> None:
    endpoint.script(failures=[{"status": "hang"}])
    policy = RetryPolicy(max_tries=50, first_wait=0.01, try_seconds=0.2, deadline_seconds=0.5)
    error = failing(model(endpoint, retry=policy))
    assert "no answer in time" in str(error)
    assert endpoint.stats()["requests"] <= 3


def test_a_fifth_refused_fails_nobody(endpoint: Endpoint) -> None:
    endpoint.script(failures=[{"status": 429, "share": 0.2}], latency=0.005)
    replies = complete(model(endpoint, limits=Limits(concurrency=32)), *[f"text {number}" for number in range(300)])
    assert all(isinstance(reply, Reply) for reply in replies)
    stats = endpoint.stats()
    assert stats["answered"] == 300
    assert stats["repeated"] == 0


def test_an_endpoint_with_few_places_fails_nobody(endpoint: Endpoint) -> None:
    endpoint.script(most_in_flight=8, latency=0.02)
    replies = complete(model(endpoint), *[f"text {number}" for number in range(300)])
    assert all(isinstance(reply, Reply) for reply in replies)
    assert endpoint.stats()["answered"] == 300


def test_concurrency_halves_when_refused_and_grows_back(endpoint: Endpoint) -> None:
    client = model(endpoint, limits=Limits(concurrency=32))
    limiter = client.limiter()
    endpoint.script(failures=[{"status": 429, "first": 10}], latency=0.01)
    complete(client, *[f"text {number}" for number in range(32)])
    after_refusals = limiter.allowed
    assert after_refusals < 32
    for _ in range(4):
        complete(client, *[f"text {number}" for number in range(200)])
    assert limiter.allowed == 32
    assert limiter.in_flight == 0


def test_no_more_requests_at_once_than_allowed(endpoint: Endpoint) -> None:
    endpoint.script(latency=0.01)
    complete(model(endpoint, limits=Limits(concurrency=7)), *[f"text {number}" for number in range(60)])
    assert endpoint.stats()["peak_in_flight"] == 7


def test_an_exhausted_window_is_waited_for(endpoint: Endpoint) -> None:
    client = model(endpoint)
    endpoint.script(headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"})
    complete(client, "one")
    start = time.monotonic()
    complete(client, "two")
    assert time.monotonic() - start >= 0.3


def test_one_slow_request_holds_up_no_other(endpoint: Endpoint) -> None:
    endpoint.script(failures=[{"status": "hang", "contains": "slow"}])

    async def main() -> None:
        client = model(endpoint)
        slow = asyncio.create_task(client.complete(asked("slow")))
        await asyncio.wait_for(asyncio.gather(*[client.complete(asked(str(number))) for number in range(50)]), 60)
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        await client.close()

    asyncio.run(main())


def test_cancelling_leaves_nothing(endpoint: Endpoint) -> None:
    endpoint.script(failures=[{"status": "hang"}])
    client = model(endpoint, limits=Limits(concurrency=4))

    async def main() -> None:
        tasks = [asyncio.create_task(client.complete(asked(str(number)))) for number in range(20)]
        while endpoint.stats()["in_flight"] < 4:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert client.limiter().in_flight == 0
        await client.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    wait_until(lambda: endpoint.stats()["in_flight"] == 0)
    stats = endpoint.stats()
    assert (stats["requests"], stats["abandoned"]) == (4, 4)


def test_nobody_there_is_an_error_in_words() -> None:
    client = OpenAIModel("small", base_url="http://user:password@127.0.0.1:9/v1", retry=QUICK)
    error = failing(client)
    assert isinstance(error, EndpointError)
    assert "http://127.0.0.1:9/v1/chat/completions could not be reached" in str(error)
    assert "password" not in str(error)
    assert "base_url" in str(error)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(EndpointError, match="http://localhost:8000/v1"):
        Transport(url, headers={}, policy=QUICK)


def test_a_query_of_the_base_url_is_kept() -> None:
    transport = Transport("https://host/deployments/x?api-version=2", headers={}, policy=QUICK)
    assert str(transport._url("chat/completions")) == "https://host/deployments/x/chat/completions?api-version=2"
    assert transport.shown == "https://host/deployments/x"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "bad", "code": "wrong"}}', "wrong: bad"),
        (b'{"detail": "not here"}', "not here"),
        (b'{"error": "plain"}', "plain"),
        (b"<html>busy</html>", "<html>busy</html>"),
        (b"", "(no message)"),
        (b'{"error": {"message": "key sk-abcdefghijkl is wrong"}}', "key sk-*** is wrong"),
    ],
)
def test_the_endpoints_own_words(body: bytes, message: str) -> None:
    assert error_message(body) == message


def test_long_words_are_cut() -> None:
    assert len(error_message(b'{"error": {"message": "' + b"word " * 500 + b'"}}')) == 300
