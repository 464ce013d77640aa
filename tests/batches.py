"""The files and batches of the tests' endpoint, as OpenAI's API has them: requests in a file, answers in another.

What does not belong here: answering a request, which is the endpoint's own (``tests.endpoint``).

Rules (under ``batches``):

    looks       how many looks a batch takes until it has ended, 1 at the least (default 1); "never": it goes on
    fates       what becomes of the batches, in the order of their creation, the last one for all further ones:
                "completed" (default), "failed", "too_many_tokens", "expired", "cancelled", "half": half of the requests
                answered when it expires
    missing     the status that every request for files and batches is answered with
    cut_off     how many creations succeed without their answer reaching the client
    failures    [{"status": ..., "first": ...}] of requests for files and batches, as the endpoint's rule
    most        the most requests that a batch may hold; one that holds more fails with token_limit_exceeded
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["Batches"]

Execute = Callable[[bytes], tuple[int, bytes]]
"""Answers the body of one request: status and body."""


@dataclass
class _Batch:
    id: str
    lines: list[dict[str, Any]]
    fate: str
    request: dict[str, Any]
    looks: int = 0
    status: str = "validating"
    files: dict[str, str | None] = field(default_factory=lambda: {"output_file_id": None, "error_file_id": None})
    errors: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Batches:
    """The files and batches of one endpoint.

    Args:
        rules: The rules above.
        execute: Answers one request.
    """

    def __init__(self, rules: dict[str, Any], execute: Execute) -> None:
        unknown = set(rules) - {"looks", "fates", "missing", "cut_off", "failures", "most"}
        if unknown:
            raise ValueError(f"unknown rules of batches: {sorted(unknown)}")
        self.rules = {"looks": 1, "fates": ["completed"], "missing": None, "cut_off": 0, "most": None, **rules}
        self.failures = [{"seen": 0, **failure} for failure in rules.get("failures", ())]
        self.execute = execute
        self.files: dict[str, bytes] = {}
        self.made: list[_Batch] = []
        self.calls: Counter[str] = Counter()

    def stats(self) -> dict[str, Any]:
        """Return what was asked, and the batches: how many requests each holds, and how it stands."""
        return {
            "calls": dict(self.calls),
            "made": [{"id": batch.id, "requests": len(batch.lines), "status": batch.status} for batch in self.made],
        }

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        """Answer a request for files or batches; ``None`` where the connection is to be cut off."""
        parts = path.split("/v1/")[-1].split("/")
        shape = "/".join("ID" if re.search(r"-\d+$", part) else part for part in parts)
        self.calls[f"{method} {shape}"] += 1
        if self.rules["missing"]:
            return self.rules["missing"], _error("Not Found")
        for failure in self.failures:
            if failure["seen"] < failure["first"]:
                failure["seen"] += 1
                return failure["status"], _error("made to fail")
        if parts == ["files"]:
            return 200, self.upload(body)
        if parts[0] == "files":
            return (200, self.files[parts[1]]) if parts[1] in self.files else (404, _error("no such file"))
        if parts == ["batches"] and method == "GET":
            shown = [orjson.loads(self.shown(batch)) for batch in reversed(self.made)]
            return 200, orjson.dumps({"object": "list", "data": shown, "has_more": False})
        if parts == ["batches"]:
            return self.create(orjson.loads(body))
        batch = next((batch for batch in self.made if batch.id == parts[1]), None)
        if batch is None:
            return 404, _error(f"No batch found with id '{parts[1]}'.")
        self.cancel(batch) if parts[-1] == "cancel" else self.look(batch)
        return 200, self.shown(batch)

    def upload(self, body: bytes) -> bytes:
        boundary = body.split(b"\r\n", 1)[0]
        fields = [part.split(b"\r\n\r\n", 1) for part in body.split(boundary)[1:-1]]
        content = {re.search(rb'name="(\w+)"', head)[1]: data.removesuffix(b"\r\n") for head, data in fields}  # type: ignore[index]
        assert content[b"purpose"] == b"batch"
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content[b"file"]
        return orjson.dumps({"id": name, "object": "file", "bytes": len(content[b"file"]), "purpose": "batch"})

    def create(self, request: dict[str, Any]) -> tuple[int, bytes] | None:
        assert (request["endpoint"], request["completion_window"]) == ("/v1/chat/completions", "24h")
        fates = self.rules["fates"]
        lines = [orjson.loads(line) for line in self.files[request["input_file_id"]].split(b"\n") if line]
        fate = fates[min(len(self.made), len(fates) - 1)]
        batch = _Batch(f"batch-{len(self.made) + 1}", lines, fate, request)
        names = [line["custom_id"] for line in lines]
        if len({line["body"]["model"] for line in lines}) > 1 or len(set(names)) < len(names):
            batch.fate = "failed"
        if self.rules["most"] is not None and len(lines) > self.rules["most"]:
            batch.fate = "too_many_tokens"
        self.made.append(batch)
        if self.rules["cut_off"]:
            self.rules["cut_off"] -= 1
            return None
        return 200, self.shown(batch)

    def look(self, batch: _Batch) -> None:
        """Let a batch advance."""
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return
        batch.looks += 1
        if batch.status == "cancelling":
            self.end(batch, "cancelled", 0)
        elif self.rules["looks"] == "never" or batch.looks < self.rules["looks"]:
            batch.status = "in_progress"
            batch.counts["completed"] = len(batch.lines) // 2
        elif batch.fate in ("failed", "too_many_tokens"):
            self.fail(batch)
        else:
            whole = batch.fate == "completed"
            answered = len(batch.lines) if whole else len(batch.lines) // 2 if batch.fate == "half" else 0
            self.end(batch, "expired" if batch.fate == "half" else batch.fate, answered)

    def cancel(self, batch: _Batch) -> None:
        if batch.status not in ("completed", "failed", "expired", "cancelled"):
            batch.status = "cancelling"

    def fail(self, batch: _Batch) -> None:
        batch.status = "failed"
        if batch.fate == "failed":
            problem = {"code": "invalid_request", "message": "the line is not a request", "line": 1, "param": None}
        else:
            problem = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}
        batch.errors.append(problem)

    def end(self, batch: _Batch, status: str, answered: int) -> None:
        """Carry out so many of a batch's requests, and write its files."""
        outputs, errors = [], []
        for line in batch.lines[:answered]:
            code, body = self.execute(orjson.dumps(line["body"]))
            response = {"status_code": code, "request_id": "r", "body": orjson.loads(body)}
            kept = {"id": "l", "custom_id": line["custom_id"], "response": response, "error": None}
            (outputs if code == 200 else errors).append(kept)
        for line in batch.lines[answered:]:
            error = {"code": f"batch_{status}", "message": "This request could not be executed in time."}
            errors.append({"id": "l", "custom_id": line["custom_id"], "response": None, "error": error})
        batch.counts = Counter(completed=len(outputs), failed=len(errors))
        batch.status = status
        for name, rows in (("output_file_id", outputs), ("error_file_id", errors)):
            if rows:
                batch.files[name] = f"file-{len(self.files) + 1}"
                # Answers come in any order.
                self.files[str(batch.files[name])] = b"\n".join(orjson.dumps(row) for row in reversed(rows)) + b"\n"

    def shown(self, batch: _Batch) -> bytes:
        counts = {"total": len(batch.lines), "completed": batch.counts["completed"], "failed": batch.counts["failed"]}
        return orjson.dumps(
            {
                "id": batch.id,
                "object": "batch",
                "status": batch.status,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                "created_at": 1,
                "input_file_id": batch.request["input_file_id"],
                "metadata": batch.request.get("metadata"),
                "request_counts": counts,
                "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
                **batch.files,
            }
        )


def _error(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "error", "param": None, "code": None}})
