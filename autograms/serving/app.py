"""The endpoint: routes, who may ask, and how errors are told.

Made for this machine: without a key, only requests that were sent to a loopback name are answered, so that no web page
can reach it through a name of its own. What does not belong here: who answers (``talkers``).
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson

from autograms.errors import DivergenceError, ModelError, classify
from autograms.serving.chat_api import (
    CONVERSATION_HEADER,
    Answer,
    ChatRequest,
    RequestError,
    as_chunks,
    as_completion,
    as_error,
)
from autograms.serving.talkers import Talker

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["LOOPBACK", "build_app"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOG = logging.getLogger(__name__)
_LARGEST = 4 * 1024 * 1024
Handler = Callable[[Any], Awaitable[Any]]


def build_app(talker: Talker, *, key: str | None = None) -> web.Application:
    """Return the endpoint: ``POST /v1/chat/completions``, ``GET /v1/models``, ``GET /health``.

    Args:
        talker: Who answers; closed with the endpoint.
        key: What callers must send as ``Authorization: Bearer KEY``; without one, loopback names alone are served.
    """
    from aiohttp import web

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path != "/health":
                _admit(request, key)
            return await handler(request)
        except web.HTTPException as error:
            return _tell(error.reason, error.status)
        except RequestError as error:
            return _tell(str(error), error.status, error.param)
        except Exception as error:
            return _tell_failure(error, talker)

    async def complete(request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise RequestError("expected the content type application/json", 415)
        asked = ChatRequest.read(await request.read(), request.headers)
        answer = await talker.answer(asked)
        return await _stream(request, answer, usage=asked.usage) if asked.stream else _respond(answer)

    async def models(request: web.Request) -> web.Response:
        listed = {"id": talker.name, "object": "model", "created": 0, "owned_by": "autograms"}
        return _json({"object": "list", "data": [listed]})

    async def health(request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def close(app: web.Application) -> None:
        await talker.close()

    app = web.Application(middlewares=[guard], client_max_size=_LARGEST)
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/health", health)
    app.on_cleanup.append(close)
    return app


def _admit(request: web.Request, key: str | None) -> None:
    if key is not None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), key.encode()):
            raise RequestError("this endpoint wants its key: Authorization: Bearer KEY", 401)
    elif (request.url.host or "") not in LOOPBACK:
        raise RequestError(f"this endpoint answers to {', '.join(LOOPBACK)} only; set a key to serve other names", 403)


def _tell_failure(error: Exception, talker: Talker) -> web.Response:
    """Tell the caller the kind of failure alone, since the message may quote what the caller is never shown.

    The log names the place too, and at its level DEBUG the message.
    """
    failure = classify(error, talker.files)
    status, what = _kind(error)
    where = f" at {failure.place}" if failure.place else ""
    message = f": {failure.message}" if _LOG.isEnabledFor(logging.DEBUG) else ""
    _LOG.error("%s: status %d: %s%s%s", talker.name, status, failure.error, where, message)
    return _tell(what.format(failure.error), status)


def _kind(error: Exception) -> tuple[int, str]:
    """Return a failure's status, and what the caller is told."""
    if isinstance(error, DivergenceError):
        return 409, "the program has changed since, and cannot go on with this conversation ({}); begin a new one"
    if isinstance(error, ModelError):
        return 502, "the model could not answer ({}); the conversation is as it was before"
    return 500, "the program could not answer ({}); the conversation is as it was before"


def _respond(answer: Answer) -> web.Response:
    response = _json(as_completion(answer))
    if answer.conversation is not None:
        response.headers[CONVERSATION_HEADER] = answer.conversation
    return response


async def _stream(request: web.Request, answer: Answer, *, usage: bool) -> web.StreamResponse:
    from aiohttp import web

    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    if answer.conversation is not None:
        headers[CONVERSATION_HEADER] = answer.conversation
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for chunk in as_chunks(answer, usage=usage):
        await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _tell(message: str, status: int, param: str | None = None) -> web.Response:
    return _json(as_error(message, status, param), status=status)


def _json(value: Any, *, status: int = 200) -> web.Response:
    from aiohttp import web

    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
