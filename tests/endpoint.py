"""An OpenAI-compatible endpoint as a process of its own on loopback: what tests and benchmarks talk to.

It answers chat completions and embeddings deterministically, at a cost of a few dozen microseconds a request, and
fails on demand. What belongs here: the endpoint and the handle on it. What does not: anything of the code under test,
save the shape of a schema's smallest answer.

    python -m tests.endpoint --port 0 [--script rules.json]        prints {"port": N, "pid": N}

Rules (``POST /_script``, or the file; each replaces the former, ``POST /_reset`` restores the start):

    latency         seconds, or {"median": s, "sigma": of the logarithm, "longest": s} for a long tail
    seed            of everything drawn (shares, latencies)
    answers         [{"last": text in the last message, "contains": text anywhere in the body, "answer": text or object,
                      or a list for several answers}], the first that fits is used; with "tool_calls": [{"name",
                      "arguments": object}] in place of the answer it calls tools
    choice          "first" (default), "last" or "hash": which of the choices that a message offers is answered
    failures        [{"status": 429 or "drop" or "hang", "after": how many requests in all, "first": how many requests,
                      "share": of the requests, "contains": text in the body, "headers": {...}, "message": text,
                      "code": text}]
    most_in_flight  answers 429 above so many requests at once
    key             answers 401 where the request's key is another one
    response_format false: answers 400 where a request has a response_format
    headers         further headers of every answer
    usage           false: answers without usage
    batches         rules of the files and batches API (see ``tests.batches``); its requests count as any other
    record          true: keeps every request for ``GET /_requests``

A request that holds the text ``[[status 404]]`` is always answered with that status, ``[[drop]]`` with a closed
connection. ``GET /_stats`` counts; ``seconds`` there is what all answers took from their request on, added up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import http.client
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from tests.batches import Batches

__all__ = ["Endpoint", "main"]

TEXT = """
    the order ships today and arrives soon please check your account for the invoice
    we are glad to help with this question our team will look into it right away
"""
WORDS = TEXT.split()
MARKER = re.compile(rb"\[\[(?:status (\d{3})|(drop))\]\]")
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
DEFAULTS: dict[str, Any] = {
    "latency": 0.0,
    "seed": 0,
    "answers": [],
    "choice": "first",
    "failures": [],
    "most_in_flight": 0,
    "key": None,
    "response_format": True,
    "headers": {},
    "usage": True,
    "batches": {},
    "record": False,
}


class State:
    """Rules and counters of one endpoint."""

    def __init__(self) -> None:
        self.reset({})

    def reset(self, rules: dict[str, Any]) -> None:
        unknown = set(rules) - set(DEFAULTS)
        if unknown:
            raise ValueError(f"unknown rules: {sorted(unknown)}; known: {sorted(DEFAULTS)}")
        self.rules = {**DEFAULTS, **rules}
        self.failures = [{"seen": 0, **failure} for failure in self.rules["failures"]]
        self.random = random.Random(self.rules["seed"])
        self.extra = "".join(f"{name}: {value}\r\n" for name, value in self.rules["headers"].items()).encode()
        self.requests = self.answered = self.abandoned = self.in_flight = self.peak = self.repeated = 0
        self.seconds = 0.0
        self.statuses: Counter[str] = Counter()
        self.bodies: set[bytes] = set()
        self.conversations: Counter[str] = Counter()
        self.recorded: list[dict[str, Any]] = []
        self.batches = Batches(self.rules["batches"], self.execute)

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "answered": self.answered,
            "abandoned": self.abandoned,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak,
            "seconds": self.seconds,
            "statuses": dict(self.statuses),
            "distinct": len(self.bodies),
            "repeated": self.repeated,
            "conversations": dict(self.conversations),
            "batches": self.batches.stats(),
        }

    def execute(self, body: bytes) -> tuple[int, bytes]:
        """Answer a request of a batch."""
        self.requests += 1
        self.record("/v1/chat/completions", "", body)
        failure = self.failure(b"bearer " + str(self.rules["key"]).lower().encode(), body)
        if failure is not None:
            status = failure["status"] if isinstance(failure["status"], int) else 500
            self.statuses[str(status)] += 1
            return status, _error(failure.get("message"), failure.get("code"))
        self.count(200, body)
        return 200, completion(self, body)

    def record(self, path: str, head: str, body: bytes) -> None:
        if self.rules["record"]:
            self.recorded.append({"path": path, "head": head, "body": orjson.loads(body)})

    def count(self, status: int | str, body: bytes) -> None:
        self.statuses[str(status)] += 1
        if status == 200:
            self.answered += 1
            key = hashlib.blake2b(body, digest_size=8).digest()
            self.repeated += key in self.bodies
            self.bodies.add(key)

    def delay(self) -> float:
        latency = self.rules["latency"]
        if isinstance(latency, dict):
            drawn = latency["median"] * self.random.lognormvariate(0.0, latency.get("sigma", 1.0))
            return min(drawn, latency.get("longest", 60.0))
        return latency

    def failure(self, headers: bytes, body: bytes) -> dict[str, Any] | None:
        """Return how this request fails, or ``None``."""
        rules = self.rules
        if rules["key"] is not None and b"bearer " + rules["key"].lower().encode() not in headers:
            return {"status": 401, "message": "Incorrect API key provided", "code": "invalid_api_key"}
        if b"[[" in body and (marker := MARKER.search(body)):
            return {"status": "drop" if marker[2] else int(marker[1]), "message": "the request holds a marker"}
        for failure in self.failures:
            if "contains" in failure and failure["contains"].encode() not in body:
                continue
            if self.requests <= failure.get("after", 0):
                continue
            if "first" in failure and failure["seen"] >= failure["first"]:
                continue
            if "share" in failure and self.random.random() >= failure["share"]:
                continue
            failure["seen"] += 1
            return failure
        if rules["most_in_flight"] and self.in_flight > rules["most_in_flight"]:
            return {"status": 429, "message": "too many requests at once", "code": "rate_limit_exceeded"}
        if not rules["response_format"] and b'"response_format"' in body:
            return {"status": 400, "message": "response_format is not supported", "code": "unsupported_parameter"}
        return None


def answer_text(state: State, request: dict[str, Any], digest: bytes, body: bytes) -> Any:
    """Return the answer's text, a list of them, or the rule that calls tools: by the rules, else by the request's form,
    else by its hash.
    """
    last = request["messages"][-1].get("content") or ""
    if not isinstance(last, str):
        last = json.dumps(last)
    for rule in state.rules["answers"]:
        if rule.get("last", "") in last and rule.get("contains", "").encode() in body:
            if "tool_calls" in rule:
                return rule
            answer = rule["answer"]
            return [_text(item) for item in answer] if isinstance(answer, list) else _text(answer)
    form = request.get("response_format")
    if form and form.get("type") == "json_schema":
        from autograms.models.offline import smallest

        return json.dumps(smallest(form["json_schema"]["schema"]))
    offered = choices_of(last)
    if offered:
        how = state.rules["choice"]
        return offered[0 if how == "first" else -1 if how == "last" else digest[0] % len(offered)]
    return f"Answer {digest.hex()[:8]}: " + " ".join(WORDS[byte % len(WORDS)] for byte in digest) + "."


def choices_of(message: str) -> list[str]:
    """Return the choices that a question offers, in the wording of this project's prompts."""
    if message.endswith("Yes or No."):
        return ["Yes", "No"]
    listing = message.partition("word for word:\n- ")[2]
    return listing.split("\n- ") if listing else []


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer)


def completion(state: State, body: bytes) -> bytes:
    """Return the body of a chat completion."""
    request = orjson.loads(body)
    digest = hashlib.blake2b(body, digest_size=12).digest()
    text = answer_text(state, request, digest, body)
    state.conversations[_conversation(request)] += 1
    if isinstance(text, dict):
        texts, choices = [], [_calling(text["tool_calls"], digest)]
    else:
        texts = text if isinstance(text, list) else [text] * request.get("n", 1)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "logprobs": _logprobs(request, text) if request.get("logprobs") else None,
                "finish_reason": "stop",
            }
            for index, text in enumerate(texts)
        ]
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{digest.hex()}",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": choices,
    }
    if state.rules["usage"]:
        spent, made = len(body) // 4, sum(len(text.split()) for text in texts)
        answer["usage"] = {"prompt_tokens": spent, "completion_tokens": made, "total_tokens": spent + made}
    return orjson.dumps(answer)


def _calling(calls: list[dict[str, Any]], digest: bytes) -> dict[str, Any]:
    """Return the choice of a completion that calls tools."""
    written = [
        {
            "id": f"call_{digest.hex()[:8]}_{index}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
        }
        for index, call in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": written}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}


def _conversation(request: dict[str, Any]) -> str:
    """Return the first user message's start: what tells the conversations of a test apart."""
    for message in request["messages"]:
        if message["role"] == "user":
            return str(message.get("content"))[:80]
    return ""


def _logprobs(request: dict[str, Any], text: str) -> dict[str, Any]:
    last = str(request["messages"][-1].get("content") or "")
    offered = [choice for choice in choices_of(last) if choice != text]
    candidates = [text.split()[0] if text else "", *(choice.split()[0] for choice in offered)]
    top = [{"token": token, "logprob": -0.2 - rank, "bytes": None} for rank, token in enumerate(candidates)]
    return {"content": [{**top[0], "top_logprobs": top[: request.get("top_logprobs", 0)]}], "refusal": None}


def embeddings(body: bytes) -> bytes:
    """Return the body of an embeddings answer: eight numbers from each text's hash."""
    request = orjson.loads(body)
    texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
    data = []
    for index, text in enumerate(texts):
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        data.append({"object": "embedding", "index": index, "embedding": [byte / 255 - 0.5 for byte in digest]})
    spent = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": spent, "total_tokens": spent}
    return orjson.dumps({"object": "list", "data": data, "model": request["model"], "usage": usage})


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection; request bodies carry a Content-Length."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.transport: asyncio.Transport
        self.buffer = b""
        self.waiting: asyncio.TimerHandle | None = None
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
            self.state.in_flight -= 1
            self.state.abandoned += 1

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        length = 0
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < end + 4 + length:
            return
        body = self.buffer[end + 4 : end + 4 + length]
        method, target = self.buffer.split(b" ", 2)[:2]
        self.buffer = self.buffer[end + 4 + length :]
        self.handle(method, target.split(b"?")[0], head, body)

    def handle(self, method: bytes, path: bytes, head: bytes, body: bytes) -> None:
        if path.startswith(b"/_"):
            self.control(path, body)
        elif method == b"GET" and path.endswith(b"/models"):
            self.write(200, orjson.dumps({"object": "list", "data": [{"id": "fake", "object": "model"}]}))
        elif method == b"POST" and path.endswith((b"/chat/completions", b"/embeddings")):
            self.model_call(path, head, body)
        elif path.startswith((b"/v1/files", b"/v1/batches")):
            self.batch_call(method, path, head, body)
        else:
            self.write(404, _error(f"no route {path.decode()}", "not_found"))

    def model_call(self, path: bytes, head: bytes, body: bytes) -> None:
        state = self.state
        loop = asyncio.get_running_loop()
        self.since = loop.time()
        state.requests += 1
        state.in_flight += 1
        state.peak = max(state.peak, state.in_flight)
        state.record(path.decode(), head.decode(), body)
        failure = state.failure(head, body)
        if failure is not None:
            status = failure["status"]
            answer = b"" if isinstance(status, str) else _error(failure.get("message"), failure.get("code"))
            headers = "".join(f"{name}: {value}\r\n" for name, value in failure.get("headers", {}).items()).encode()
        else:
            status, headers = 200, b""
            answer = completion(state, body) if path.endswith(b"completions") else embeddings(body)
        delay = 3600.0 if status == "hang" else state.delay()
        self.waiting = loop.call_later(delay, self.finish, status, answer, headers, body)

    def batch_call(self, method: bytes, path: bytes, head: bytes, body: bytes) -> None:
        key = self.state.rules["key"]
        if key is not None and b"bearer " + key.lower().encode() not in head:
            self.write(401, _error("Incorrect API key provided", "invalid_api_key"))
            return
        answer = self.state.batches.handle(method.decode(), path.decode(), body)
        if answer is None:
            self.transport.abort()
        else:
            self.write(*answer)

    def finish(self, status: int | str, answer: bytes, headers: bytes, body: bytes) -> None:
        state = self.state
        self.waiting = None
        state.in_flight -= 1
        state.seconds += asyncio.get_running_loop().time() - self.since
        state.count(status, body)
        if status == "drop":
            self.transport.abort()
            return
        assert isinstance(status, int)
        self.write(status, answer, headers + state.extra)

    def control(self, path: bytes, body: bytes) -> None:
        state = self.state
        if path == b"/_script" or path == b"/_reset":
            try:
                state.reset(orjson.loads(body) if body else {})
            except ValueError as error:
                self.write(400, _error(str(error), "bad_script"))
                return
            self.write(200, b"{}")
        elif path == b"/_stats":
            self.write(200, orjson.dumps(state.stats()))
        elif path == b"/_requests":
            self.write(200, orjson.dumps(state.recorded))
        else:
            self.write(404, _error(f"no route {path.decode()}", "not_found"))

    def write(self, status: int, body: bytes, headers: bytes = b"") -> None:
        self.transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
            % (status, REASONS.get(status, "Status").encode(), headers, len(body), body)
        )


def _error(message: str | None, code: str | None) -> bytes:
    return orjson.dumps({"error": {"message": message or "made to fail", "type": "error", "param": None, "code": code}})


class Endpoint:
    """The handle on an endpoint process.

    Attributes:
        url: Its ``base_url``, ``http://127.0.0.1:PORT/v1``.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.endpoint", "--port", "0"]
        root = Path(__file__).parent.parent
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, cwd=root)
        assert self.process.stdout is not None
        self.port: int = json.loads(self.process.stdout.readline())["port"]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status != 200:
                raise ValueError(answer["error"]["message"])
            return answer
        finally:
            connection.close()

    def script(self, **rules: Any) -> None:
        """Set the rules, and the counters to zero."""
        self._ask("POST", "/_script", rules)

    def reset(self) -> None:
        """Restore the start."""
        self._ask("POST", "/_reset")

    def stats(self) -> dict[str, Any]:
        """Return the counters."""
        return self._ask("GET", "/_stats")

    def requests(self) -> list[dict[str, Any]]:
        """Return what was recorded under the rule ``record``: ``path``, ``head`` (lower case), ``body``."""
        return self._ask("GET", "/_requests")

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


async def serve(port: int, script: Path | None) -> None:
    """Serve until standard input closes, so that no endpoint outlives the one who started it."""
    state = State()
    if script is not None:
        state.reset(json.loads(script.read_text()))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    gc.freeze()
    async with server:
        if sys.stdin.isatty():
            await server.serve_forever()
        await loop.run_in_executor(None, sys.stdin.buffer.read)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.endpoint")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.script))


if __name__ == "__main__":
    main()
