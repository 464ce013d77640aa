"""Any OpenAI-compatible endpoint: the body of a request, the reading of an answer, the counting of its cost.

What does not belong here: connections, retries and limits (``transport``, ``retries``, ``limits``).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from autograms.errors import CredentialsError, EndpointError, ModelError, ModelNameError, OutputError
from autograms.models.base import Later, Reply, Request
from autograms.models.batches import BatchApi
from autograms.models.limits import Limiter, Limits
from autograms.models.prices import Price, price_of
from autograms.models.retries import RetryPolicy
from autograms.models.strict import strict_schema
from autograms.models.tool_calls import read_tool_calls
from autograms.models.transport import Transport, shown_url

__all__ = ["OPENAI_URL", "OpenAIModel", "endpoint_origin"]

OPENAI_URL = "https://api.openai.com/v1"
_OTHER_PROVIDERS = ("checkpoint/", "offline/", "scripted/")
_NO_NAME_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
_CHARACTERS_PER_TOKEN = 4
_MOST_TEXTS = 512
"""Texts in one request for embeddings."""


@dataclass(slots=True)
class _Served:
    """What is known of one model at the endpoint."""

    name: str
    full_name: str
    price: Price | None
    limiter: Limiter
    batch_price: Price | None = None
    no_response_format: bool = False
    no_max_tokens: bool = False


class OpenAIModel:
    """A model behind an OpenAI-compatible endpoint: OpenAI, Azure, vLLM, TGI, Ollama, LiteLLM, ...

    Args:
        model: The model's name at the endpoint.
        base_url: The endpoint; ``OPENAI_BASE_URL`` where unset, else OpenAI's.
        api_key: The key; ``OPENAI_API_KEY`` where unset. Endpoints other than OpenAI's may do without.
        max_tries: How often a request that failed for a passing reason is sent in all.
        embedding_model: The model for embeddings where a call names none.
        limits: Concurrency and rates, for each model at the endpoint.
        retry: The whole retry policy, instead of ``max_tries``.

    Raises:
        CredentialsError: Where OpenAI's own endpoint is meant and no key is given.
        EndpointError: Where ``base_url`` is no URL.

    Attributes:
        name: ``openai/MODEL``.
        base_url: The endpoint's URL, without credentials.
        origin: The same, empty for OpenAI's own: a name means another model at another endpoint.
        batches: The endpoint's batch API, for requests that may be answered later.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        max_tries: int = 6,
        embedding_model: str = "text-embedding-3-small",
        limits: Limits | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        url = _endpoint(base_url)
        key = api_key or os.environ.get("OPENAI_API_KEY")
        if not key and url.startswith(OPENAI_URL):
            raise CredentialsError(
                f"no key for {OPENAI_URL}; expected one in the environment variable OPENAI_API_KEY or in the file of "
                "--api_key_file. Another endpoint is named by OPENAI_BASE_URL or --base_url; offline/demo needs no key"
            )
        self.name = f"openai/{model}"
        self._model = model
        self._url, self._key = url, key
        self._embedding_model = embedding_model
        self._limits = limits or Limits()
        self._transport = Transport(url, headers=_headers(url, key), policy=retry or RetryPolicy(max_tries=max_tries))
        self.base_url = self._transport.shown
        self.origin = endpoint_origin(base_url)
        self.batches = BatchApi(self._transport)
        self._served: dict[str, _Served] = {}
        self._refused_schemas: set[bytes] = set()

    def limiter(self, model: str | None = None) -> Limiter:
        """Return the gate of one of the endpoint's models, the default one where unset."""
        return self._serve(model or self._model).limiter

    def opener(self, parts: int) -> Callable[[], OpenAIModel]:
        """Return what opens this model in another process, as one of so many that share its limits."""
        return partial(
            OpenAIModel,
            self._model,
            base_url=self._url,
            api_key=self._key,
            embedding_model=self._embedding_model,
            limits=self._limits.part(parts),
            retry=self._transport.policy,
        )

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            ModelError: Where no answer could be had. Errors that may pass were retried already.
        """
        name = request.model or self._model
        served = self._served.get(name) or self._serve(name)
        body: dict[str, Any] = {"model": served.name, "messages": request.messages}
        if request.params:
            _add_params(body, request.params, served)
        if request.kind == "object" and request.schema is not None and "response_format" not in body:
            return await self._complete_object(request, request.schema, served, body)
        return self._read(request, served, await self._post("chat/completions", served, body, request.later))

    async def embed(self, texts: list[str], *, model: str | None = None) -> list[list[float]]:
        """Return one embedding for each text.

        Raises:
            ModelError: Where the endpoint has no embeddings or failed.
        """
        served = self._serve(model or self._embedding_model)
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _MOST_TEXTS):
            part = texts[start : start + _MOST_TEXTS]
            data = await self._post("embeddings", served, {"model": served.name, "input": part})
            try:
                found = sorted(data["data"], key=lambda item: item["index"])
                vectors += [item["embedding"] for item in found]
            except (KeyError, TypeError):
                found = []
            if len(found) != len(part):
                raise EndpointError(f"{self.base_url}/embeddings did not answer with one embedding for each text")
        return vectors

    async def close(self) -> None:
        """Close the connections. The model can be used again afterwards."""
        await self._transport.close()

    def _serve(self, name: str) -> _Served:
        if name.startswith(_OTHER_PROVIDERS):
            raise ModelNameError(
                f"model={name!r} is not at the endpoint {self.base_url}; a call may name another model of the same "
                "endpoint only"
            )
        plain = name.removeprefix("openai/")
        served = self._served.get(plain)
        if served is None:
            limiter = Limiter(self._limits)
            served = _Served(plain, f"openai/{plain}", price_of(plain), limiter, price_of(plain, batch=True))
        self._served[name] = self._served[plain] = served
        return served

    async def _complete_object(
        self, request: Request, schema: dict[str, Any], served: _Served, body: dict[str, Any]
    ) -> Reply:
        """Ask with the schema; where the endpoint refuses that, from then on without it: the prompt shows it too."""
        text = orjson.dumps(schema)
        if not served.no_response_format and text not in self._refused_schemas:
            strict = strict_schema(schema)
            form = {
                "name": _NO_NAME_CHARACTER.sub("_", request.schema_name)[:64] or "answer",
                "schema": schema if strict is None else strict,
                "strict": strict is not None,
            }
            try:
                structured = {**body, "response_format": {"type": "json_schema", "json_schema": form}}
                return self._read(
                    request, served, await self._post("chat/completions", served, structured, request.later)
                )
            except EndpointError as error:
                if error.status not in (400, 422) or not _about_the_schema(str(error)):
                    raise
                if "invalid schema" in str(error).casefold():
                    self._refused_schemas.add(text)
                else:
                    served.no_response_format = True
        return self._read(request, served, await self._post("chat/completions", served, body, request.later))

    async def _post(
        self, path: str, served: _Served, body: dict[str, Any], later: Later | None = None
    ) -> dict[str, Any]:
        limiter = served.limiter
        content = orjson.dumps(body)
        estimate = len(content) // _CHARACTERS_PER_TOKEN if limiter.counts_tokens else 0
        try:
            if later is not None:
                return await later.post(self.batches, served.name, content)
            answer, headers = await self._transport.post(path, content, limiter, tokens=estimate)
        except EndpointError as error:
            if error.status != 400 or "max_tokens" not in body or "max_completion_tokens" not in str(error):
                raise
            served.no_max_tokens = True
            body["max_completion_tokens"] = body.pop("max_tokens")
            return await self._post(path, served, body, later)
        try:
            data = orjson.loads(answer)
        except orjson.JSONDecodeError:
            data = None
        if not isinstance(data, dict):
            raise EndpointError(
                f"{self.base_url}/{path} answered 200 with something that is not JSON; check that base_url "
                "(OPENAI_BASE_URL or --base_url) is an OpenAI-compatible endpoint, and that no stream was asked for",
                200,
            )
        used = (data.get("usage") or {}).get("total_tokens", estimate) if estimate else 0
        limiter.succeeded(headers, over_estimate=used - estimate)
        return data

    def _read(self, request: Request, served: _Served, data: dict[str, Any]) -> Reply:
        try:
            choice = data["choices"][0]
            message = choice["message"]
            text = message.get("content")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise EndpointError(f"{self.base_url} answered with no choices: {_complaint(data)}", 200) from None
        calls = None
        if "tool_calls" in message and message["tool_calls"] and request.params.get("tools"):
            text, calls = text or "", read_tool_calls(message["tool_calls"])
        elif not isinstance(text, str) or (not text and choice.get("finish_reason") in ("length", "content_filter")):
            raise _no_text(served.full_name, choice, message)
        usage = data.get("usage") or {}
        read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        price, cost = served.price if request.later is None else served.batch_price, None
        if price is not None and usage:
            details = usage.get("prompt_tokens_details")
            cost = price.cost(read, written, (details.get("cached_tokens") or 0) if details else 0)
        reply = Reply(text, served.full_name, read, written, cost)
        if calls is not None:
            reply.tool_calls = calls
        if request.kind == "choice" and choice.get("logprobs"):
            reply.probabilities = choice_probabilities(request.choices, choice["logprobs"])
        return reply


def endpoint_origin(base_url: str | None) -> str:
    """Return which endpoint the names of models are of: its URL without credentials, empty for OpenAI's own.

    Args:
        base_url: The endpoint; ``OPENAI_BASE_URL`` where unset, else OpenAI's.

    Raises:
        EndpointError: Where it is no URL.
    """
    shown = shown_url(_endpoint(base_url))
    return "" if shown == OPENAI_URL else shown


def _endpoint(base_url: str | None) -> str:
    return base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL


def choice_probabilities(choices: Iterable[str], logprobs: Mapping[str, Any]) -> list[float] | None:
    """Return each choice's probability by the answer's first token, ``None`` where that token does not tell them apart.

    Args:
        choices: The choices.
        logprobs: The ``logprobs`` of a chat completion's choice.
    """
    plain = [choice.strip().casefold() for choice in choices]
    content = logprobs.get("content")
    if not content or not content[0].get("top_logprobs"):
        return None
    shares = [0.0] * len(plain)
    for entry in content[0]["top_logprobs"]:
        token = entry["token"].strip().casefold()
        # "No" begins "No" and "None": the whole word means itself.
        fits = [index for index, choice in enumerate(plain) if choice == token] or [
            index for index, choice in enumerate(plain) if token and choice.startswith(token)
        ]
        if len(fits) > 1:
            return None
        for index in fits:
            shares[index] += math.exp(entry["logprob"])
    total = sum(shares)
    return [share / total for share in shares] if total > 0 else None


def _headers(url: str, key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "autograms"}
    if key:
        headers["Authorization"] = f"Bearer {key.strip()}"
        if ".azure.com" in url:
            headers["api-key"] = key.strip()
    return headers


def _add_params(body: dict[str, Any], params: Mapping[str, Any], served: _Served) -> None:
    if params.get("stream"):
        raise ModelError("stream=True: answers are taken whole; leave the keyword out")
    body.update(params)
    body["model"] = served.name
    if served.no_max_tokens and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")


def _about_the_schema(message: str) -> bool:
    lowered = message.casefold()
    return any(word in lowered for word in ("response_format", "json_schema", "schema", "structured output", "guided"))


def _complaint(data: dict[str, Any]) -> str:
    error = data.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return str(message)[:300] if message else "expected a chat completion; check base_url"


def _no_text(model: str, choice: dict[str, Any], message: dict[str, Any]) -> OutputError:
    reason = choice.get("finish_reason")
    if message.get("refusal"):
        return OutputError(f"{model} refused to answer: {str(message['refusal'])[:300]}")
    if message.get("tool_calls"):
        return OutputError(f"{model} answered with tool calls; a text was asked for")
    if reason == "length":
        return OutputError(f"{model} wrote no text within the limit of tokens; raise max_tokens")
    return OutputError(f"{model} answered without a text (finish_reason {reason!r})")
