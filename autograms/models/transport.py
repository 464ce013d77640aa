"""One HTTP endpoint: connections for every event loop, one request with its retries, and errors in words.

What does not belong here: what a request's body holds, and how an answer is read (``openai``).
"""

from __future__ import annotations

import asyncio
import re
import urllib.request
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping

import aiohttp
import orjson
from yarl import URL

from autograms.errors import CredentialsError, EndpointError, ModelError, ModelNameError
from autograms.models.limits import Limiter
from autograms.models.retries import RetryPolicy, passes, retry_after

__all__ = ["Transport", "Upload", "error_message", "refusal", "shown_url"]

_CONNECT_SECONDS = 20.0
_KEY_LIKE = re.compile(r"\b(sk-|Bearer )[A-Za-z0-9_*.-]{8,}")
_SHORTEST_KEY = 12
_NEVER_PASSES = ("insufficient_quota", "billing_hard_limit_reached", "Request too large")
_CERTAIN = (aiohttp.InvalidURL, aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError)
"""Failures without an answer that are the same at the next try."""
_DONE = (200, 201)

Upload = Callable[[], aiohttp.Payload]
"""Makes a body that is more than bytes, anew for each try."""


async def _keep(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Close the session when its event loop shuts down: a loop ends its async generators before it closes."""
    try:
        yield
    finally:
        await session.close()


_Sessions = dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[None, None]]]


def _abandon(sessions: _Sessions) -> None:
    """Drop what belongs to loops that will not run again, without their help."""
    for session, _ in sessions.values():
        if session.connector is not None:
            session.connector._close()
        session.detach()
    sessions.clear()


def shown_url(base_url: str) -> str:
    """Return an endpoint's URL without credentials and query.

    Raises:
        EndpointError: Where it is no URL.
    """
    url = URL(base_url.rstrip("/"))
    if url.scheme not in ("http", "https") or not url.host:
        raise EndpointError(
            f"{_safe(base_url)!r} is no endpoint; expected a URL such as http://localhost:8000/v1 "
            "(base_url, OPENAI_BASE_URL or --base_url)"
        )
    return str(url.with_user(None).with_query(None).with_fragment(None))


class Transport:
    """Sends requests to one endpoint.

    Args:
        base_url: The endpoint, as ``https://host/v1``; a query (``?api-version=...``) is kept.
        headers: Headers of every request.
        policy: How often and after what waits a request is sent again.

    Attributes:
        shown: The endpoint's URL without credentials and query, for messages.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str], policy: RetryPolicy) -> None:
        self._base = URL(base_url.rstrip("/"))
        self.shown = shown_url(base_url)
        self.policy = policy
        self._headers = dict(headers)
        self._urls: dict[str, URL] = {}
        self._timeout = self._time_left(policy.deadline_seconds)
        self._file_timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=policy.try_seconds)
        self._sessions: _Sessions = {}
        weakref.finalize(self, _abandon, self._sessions)

    async def post(
        self, path: str, body: bytes, limiter: Limiter, *, tokens: int = 0
    ) -> tuple[bytes, Mapping[str, str]]:
        """Send one request, again where its failure may pass, and return the body and the headers of the answer.

        Args:
            path: Below the base URL, as ``chat/completions``.
            body: JSON.
            limiter: The gate of the model that is asked; not yet told of the success.
            tokens: An estimate of the tokens that the request costs.

        Raises:
            EndpointError: Where the endpoint answers with an error or not at all.
            CredentialsError: Where it refuses the key.
            ModelNameError: Where it does not have the model.
        """
        url = self._urls.get(path) or self._url(path)
        entry = self._sessions.get(asyncio.get_running_loop())
        session = entry[0] if entry is not None else await self._open()
        timeout = self._timeout
        trial: _Trial | None = None
        while True:
            if not limiter.enter(tokens):
                await limiter.wait(tokens)
            sent = limiter.clock()
            if trial is None:
                trial = _Trial(self, path, limiter, sent, self.policy.max_tries)
            problem: Exception | None = None
            try:
                async with session.post(url, data=body, timeout=timeout, allow_redirects=False) as response:
                    answer = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                problem = error
            finally:
                limiter.leave()
            if problem is not None:
                wait = trial.unanswered(problem)
            elif response.status == 200:
                return answer, response.headers
            else:
                wait = trial.answered(response.status, response.headers, answer, sent)
            await asyncio.sleep(wait)
            timeout = self._time_left(trial.ends - limiter.clock())

    async def ask(
        self,
        method: str,
        path: str,
        limiter: Limiter,
        *,
        body: bytes | Upload | None = None,
        query: Mapping[str, str] | None = None,
        tries: int | None = None,
    ) -> bytes:
        """Send one request that is no model call, as :meth:`post` does, and return the body of the answer.

        Files may take as long as they want, as long as bytes flow.

        Args:
            method: ``GET`` or ``POST``.
            path: Below the base URL.
            limiter: A gate.
            body: JSON, or what makes an upload.
            query: Parameters of the URL.
            tries: How often it is sent in all; as the policy says where unset.

        Raises:
            ModelError: As :meth:`post`.
        """
        url = self._url(path).update_query(query or {})
        entry = self._sessions.get(asyncio.get_running_loop())
        session = entry[0] if entry is not None else await self._open()
        trial = _Trial(self, path, limiter, limiter.clock(), tries or self.policy.max_tries)
        while True:
            if not limiter.enter():
                await limiter.wait()
            sent = limiter.clock()
            data = body() if callable(body) else body
            headers = {"Content-Type": data.content_type} if isinstance(data, aiohttp.Payload) else None
            try:
                async with session.request(
                    method, url, data=data, headers=headers, timeout=self._file_timeout, allow_redirects=False
                ) as response:
                    answer = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                limiter.leave()
                wait = trial.unanswered(error)
            except BaseException:
                limiter.leave()
                raise
            else:
                limiter.leave()
                if response.status in _DONE:
                    return answer
                wait = trial.answered(response.status, response.headers, answer, sent)
            await asyncio.sleep(wait)

    def without_key(self, body: bytes) -> bytes:
        """Return an answer's body without the key that was sent, which some endpoints say back."""
        key = self._headers.get("Authorization", "").removeprefix("Bearer ").encode()
        return body.replace(key, b"***") if len(key) >= _SHORTEST_KEY else body

    async def close(self) -> None:
        """Close the connections of every event loop."""
        here = asyncio.get_running_loop()
        for loop, (session, keeper) in list(self._sessions.items()):
            del self._sessions[loop]
            if loop is here:
                await keeper.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_aclose(keeper), loop))
            else:
                _abandon({loop: (session, keeper)})

    async def _open(self) -> aiohttp.ClientSession:
        for loop in [loop for loop in self._sessions if loop.is_closed()]:
            _abandon({loop: self._sessions.pop(loop)})
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            proxy=_proxy(self._base),
        )
        keeper = _keep(session)
        self._sessions[asyncio.get_running_loop()] = (session, keeper)
        await anext(keeper)
        return session

    def _url(self, path: str) -> URL:
        url = self._urls[path] = (self._base / path).with_query(self._base.query)
        return url

    def _time_left(self, seconds: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=max(0.001, min(self.policy.try_seconds, seconds)), sock_connect=_CONNECT_SECONDS
        )


async def _aclose(keeper: AsyncGenerator[None, None]) -> None:
    await keeper.aclose()


class _Trial:
    """The tries of one request so far: what the next wait is, or the error that ends them."""

    __slots__ = ("ends", "limiter", "max_tries", "path", "sends", "started", "successes", "transport", "tries")

    def __init__(self, transport: Transport, path: str, limiter: Limiter, started: float, max_tries: int) -> None:
        self.transport = transport
        self.path = path
        self.limiter = limiter
        self.started = started
        self.max_tries = max_tries
        self.ends = started + transport.policy.deadline_seconds
        self.sends = 0
        self.tries = 0
        self.successes = -1

    def unanswered(self, problem: Exception) -> float:
        """Return the wait after a request without an answer.

        Raises:
            EndpointError: Where it was the last try.
        """
        self.sends += 1
        self.tries += 1
        what = (
            "no answer in time" if isinstance(problem, TimeoutError) else _safe(str(problem) or type(problem).__name__)
        )
        remedy = "check that the endpoint runs, and base_url (OPENAI_BASE_URL or --base_url)"
        error = EndpointError(f"{self._where()} could not be reached{self._so_far()}: {what}; {remedy}")
        if isinstance(problem, _CERTAIN):
            raise error from problem
        return self._wait(error, None)

    def answered(self, status: int, headers: Mapping[str, str], body: bytes, sent: float) -> float:
        """Return the wait after an answer that is an error.

        Raises:
            ModelError: Where the error cannot pass, or it was the last try.
        """
        self.sends += 1
        message = error_message(self.transport.without_key(body))
        if not passes(status) or any(word in message for word in _NEVER_PASSES):
            raise refusal(self._where(), status, message, headers.get("Location"))
        asked = retry_after(headers) if status in (429, 503) or status >= 500 else None
        if status == 429:
            self.limiter.refused(sent)
        # A 429 while others are answered says "not so fast", not "it does not work": only the deadline bounds it.
        if status != 429 or self.limiter.successes == self.successes or self.successes < 0:
            self.tries += 1
        self.successes = self.limiter.successes
        remedy = (
            "lower the concurrency or the rates, or wait"
            if status == 429
            else "this is the endpoint's fault and may pass; try again later"
        )
        error = EndpointError(f"{self._where()} answered {status}{self._so_far()}: {message}; {remedy}", status)
        return self._wait(error, asked)

    def _wait(self, error: EndpointError, asked: float | None) -> float:
        policy = self.transport.policy
        wait = policy.wait(max(1, self.tries), asked)
        if self.tries >= self.max_tries or self.limiter.clock() + wait > self.ends:
            raise error
        return wait

    def _where(self) -> str:
        return f"{self.transport.shown}/{self.path}"

    def _so_far(self) -> str:
        if self.sends == 1:
            return ""
        return f" ({self.sends} tries in {self.limiter.clock() - self.started:.1f} s)"


def refusal(where: str, status: int, message: str, location: str | None = None) -> ModelError:
    """Return the error for an answer that no further try would change.

    Args:
        where: The URL that was asked.
        status: The HTTP status.
        message: The endpoint's words.
        location: Where it redirects to.
    """
    if status in (401, 403):
        return CredentialsError(
            f"{where} refused the key ({status}): {message}; expected a valid key in OPENAI_API_KEY or the file of "
            "--api_key_file"
        )
    if status == 404 and "model" in message.casefold():
        return ModelNameError(f"{where} does not have the model (404): {message}; set a model that it serves")
    if 300 <= status < 400:
        target = _safe(location or "elsewhere")
        return EndpointError(f"{where} redirects ({status}) to {target!r}; set base_url to where it leads", status)
    remedy = {
        404: "check base_url (OPENAI_BASE_URL or --base_url); it usually ends with /v1",
        405: "check base_url (OPENAI_BASE_URL or --base_url); it usually ends with /v1",
        429: "the account's quota or the request's size is beyond what the endpoint grants",
    }.get(status, "the request itself is refused, so it was not sent again; check the keywords and the prompt")
    return EndpointError(f"{where} answered {status}: {message}; {remedy}", status)


def error_message(body: bytes) -> str:
    """Return the endpoint's own words, 300 characters at most, with its error code in front, without any key."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _safe(body.decode("utf-8", "replace").strip()[:300]) or "(no message)"
    error = data.get("error", data) if isinstance(data, dict) else data
    if isinstance(error, dict):
        code = error.get("code")
        text = str(error.get("message") or error.get("detail") or error)
        return _safe((f"{code}: {text}" if isinstance(code, str) else text)[:300])
    return _safe(str(error)[:300]) or "(no message)"


def _safe(text: str) -> str:
    """Remove what looks like a key, and the credentials of URLs."""
    return re.sub(r"//[^/@\s]+@", "//", _KEY_LIKE.sub(r"\1***", text))


def _proxy(base: URL) -> str | None:
    """Return the proxy that the environment names for the endpoint, looked up once and not for every request."""
    host = base.host or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(base.scheme)
