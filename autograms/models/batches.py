"""An endpoint's batch API: a file of requests goes up, a batch is made of it, and its answers come down a day later.

What belongs here: the requests that this takes, and the reading of what comes back. What does not: which calls make a
batch, and what is kept of it on disk (``autograms.simulation.waves``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from autograms.errors import EndpointError
from autograms.models.limits import Limiter, Limits
from autograms.models.retries import RetryPolicy, passes
from autograms.models.transport import Transport, error_message, refusal

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "Answer", "Batch", "BatchApi", "line_of"]

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""What one batch may hold, as OpenAI documents it."""

_URL = "/v1/chat/completions"
_WINDOW = "24h"
_MARK = "autograms"
"""The batch's metadata under which a batch whose creation was cut off is found again."""
_AT_ONCE = 8
_ENDED = ("completed", "failed", "expired", "cancelled")
_MISSING = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the endpoint says of a batch.

    Attributes:
        id: Its id.
        status: ``validating``, ``in_progress``, ``finalizing``, ``completed``, ``failed``, ``expired``, ``cancelling``
            or ``cancelled``.
        done: Requests that were answered so far, refused ones included.
        files: The files with answers and with refusals, those that there are.
        problems: Why it failed, ``CODE: MESSAGE (line N)`` each.
    """

    id: str
    status: str
    done: int = 0
    files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in _ENDED


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request of a batch.

    Attributes:
        status: The HTTP status; 0 where the request was not carried out.
        data: The answer's body, as it would have come at once.
    """

    status: int
    data: dict[str, Any]

    @property
    def message(self) -> str:
        """The endpoint's words about an error."""
        return error_message(orjson.dumps(self.data))

    @property
    def passes(self) -> bool:
        """Whether another try may end otherwise."""
        return self.status == 0 or passes(self.status)


def line_of(request: str, body: bytes) -> bytes:
    """Return a request's line in a batch's file.

    Args:
        request: The request's id in the batch, of letters, digits and dashes.
        body: JSON.
    """
    return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (request.encode(), _URL.encode(), body)


class BatchApi:
    """The batch API of one endpoint.

    Args:
        transport: Sends the requests.

    Attributes:
        endpoint: The endpoint's URL without credentials and query.
    """

    def __init__(self, transport: Transport) -> None:
        self.endpoint = transport.shown
        self._transport = transport
        self._limiter = Limiter(Limits(concurrency=_AT_ONCE))

    @property
    def policy(self) -> RetryPolicy:
        """How often a request is tried."""
        return self._transport.policy

    async def upload(self, file: Path) -> str:
        """Upload a file of requests and return its id.

        Raises:
            EndpointError: Where the endpoint has no batch API, or fails.
            CredentialsError: Where it refuses the key.
        """
        with ExitStack() as opened:

            def form() -> aiohttp.Payload:
                data = aiohttp.FormData({"purpose": "batch"})
                content = opened.enter_context(file.open("rb"))
                data.add_field("file", content, filename="requests.jsonl", content_type="application/jsonl")
                return data()

            return str((await self._ask("POST", "files", body=form)).get("id"))

    async def create(self, file: str, mark: str) -> Batch:
        """Make a batch of an uploaded file.

        A request whose answer was lost is not sent again before the endpoint was asked whether there is a batch with
        the mark: nothing is paid twice.

        Args:
            file: The file's id.
            mark: A name that no other batch has.

        Raises:
            EndpointError: Where the endpoint has no batch API, or fails.
        """
        asked = {
            "input_file_id": file,
            "endpoint": _URL,
            "completion_window": _WINDOW,
            "metadata": {_MARK: mark},
        }
        tries = 1
        while True:
            try:
                return _read_batch(await self._ask("POST", "batches", body=orjson.dumps(asked), tries=1))
            except EndpointError as error:
                if tries >= self.policy.max_tries or not passes(error.status):
                    raise
            await asyncio.sleep(self.policy.wait(tries))
            tries += 1
            made = await self.find(mark)
            if made is not None:
                return made

    async def find(self, mark: str) -> Batch | None:
        """Return the batch with a mark, if it is one of the latest hundred."""
        listed = await self._ask("GET", "batches", query={"limit": "100"})
        for data in listed.get("data") or ():
            if (data.get("metadata") or {}).get(_MARK) == mark:
                return _read_batch(data)
        return None

    async def look(self, batch: str) -> Batch:
        """Return how a batch stands.

        Raises:
            EndpointError: Where the endpoint does not know it, or fails.
        """
        return _read_batch(await self._ask("GET", f"batches/{batch}"))

    async def cancel(self, batch: str) -> Batch:
        """Ask the endpoint to stop; what it has answered by then stays."""
        return _read_batch(await self._ask("POST", f"batches/{batch}/cancel", body=b"{}"))

    async def answers(self, batch: Batch) -> list[tuple[str, Answer]]:
        """Return what came of the batch's requests, by their ids, in any order; some may be missing."""
        found: list[tuple[str, Answer]] = []
        for file in batch.files:
            found += _read_answers(await self._transport.ask("GET", f"files/{file}/content", self._limiter))
        return found

    def error(self, answer: Answer) -> Exception:
        """Return the error for an answer that is one, in the words of a request that was sent at once."""
        where = f"{self.endpoint}/chat/completions"
        if not answer.passes:
            return refusal(where, answer.status, answer.message)
        return EndpointError(
            f"{where} did not answer in {self.policy.max_tries} batches, last: {answer.message}; try again later",
            answer.status or None,
        )

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            data = orjson.loads(await self._transport.ask(method, path, self._limiter, **options))
        except EndpointError as error:
            if error.status in _MISSING and path in ("files", "batches"):
                raise EndpointError(
                    f"{self.endpoint} has no batch API ({method} {path} answered {error.status}); simulate without "
                    "batches (batch = false, or no --batch), or set base_url to an endpoint that has it",
                    error.status,
                ) from None
            raise
        except orjson.JSONDecodeError:
            data = None
        if not isinstance(data, dict):
            raise EndpointError(f"{self.endpoint}/{path} answered with something that is no JSON object")
        return data


def _read_batch(data: dict[str, Any]) -> Batch:
    counts = data.get("request_counts") or {}
    files = (data.get("output_file_id"), data.get("error_file_id"))
    problems = [problem for problem in (data.get("errors") or {}).get("data") or () if isinstance(problem, dict)]
    try:
        return Batch(
            str(data["id"]),
            str(data["status"]),
            int(counts.get("completed") or 0) + int(counts.get("failed") or 0),
            tuple(str(file) for file in files if file),
            tuple(_worded(problem) for problem in problems),
        )
    except KeyError as error:
        raise EndpointError(f"the endpoint told of a batch without {error}; check base_url") from None


def _worded(problem: dict[str, Any]) -> str:
    line = f" (line {problem['line']})" if problem.get("line") is not None else ""
    return f"{error_message(orjson.dumps({'error': problem}))}{line}"


def _read_answers(content: bytes) -> Iterator[tuple[str, Answer]]:
    for line in content.split(b"\n"):
        try:
            data = orjson.loads(line)
            name, response = str(data["custom_id"]), data.get("response")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            continue
        body = response.get("body") if isinstance(response, dict) else None
        if isinstance(response, dict) and isinstance(body, dict):
            yield name, Answer(int(response.get("status_code") or 0), body)
        else:
            yield name, Answer(0, {"error": data.get("error") or "no answer"})
