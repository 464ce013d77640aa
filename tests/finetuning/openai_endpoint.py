"""A small endpoint with OpenAI's files and fine_tuning API, on loopback; its models answer as ``tests.endpoint``'s."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.endpoint import State, completion

KEY = "sk-test"


class FinetuningEndpoint:
    """Jobs advance one status at each look.

    Attributes:
        statuses: What a job's looks see, one after the other; the last one stays.
        refuse: ``(status, message)`` that answers the creation of jobs.
        flaky: How many looks fail with status 500 first.
        calls: How often each ``METHOD path`` was asked, ids left out.
        jobs: The jobs, by id.
        files: Names of the uploaded files, by id.
        chat: How the models answer: rules of ``tests.endpoint``.
        asked: How often each model was asked for a chat completion.
        cut_off: Whether the next creation succeeds without its answer reaching the client.
    """

    def __init__(self) -> None:
        self.statuses = ["validating_files", "queued", "running", "succeeded"]
        self.refuse: tuple[int, str] | None = None
        self.flaky = 0
        self.calls: Counter[str] = Counter()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, str] = {}
        self.chat = State()
        self.asked: Counter[str] = Counter()
        self.cut_off = False
        self.url = ""

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        number = len(self.jobs) + 1
        job = {
            "id": f"ftjob-{number}",
            "object": "fine_tuning.job",
            "created_at": 1,
            "model": request["model"],
            "status": "validating_files",
            "looks": 0,
            "request": request,
            "metadata": request.get("metadata"),
            "hyperparameters": {},
            "organization_id": "org",
            "result_files": [],
            "seed": request.get("seed", 0),
            "training_file": request["training_file"],
            "fine_tuned_model": None,
            "error": None,
        }
        self.jobs[str(job["id"])] = job
        return job

    def look(self, job: dict[str, Any]) -> dict[str, Any]:
        if job["status"] != "cancelled":
            job["status"] = self.statuses[min(job["looks"], len(self.statuses) - 1)]
        job["looks"] += 1
        if job["status"] == "succeeded":
            job.update(fine_tuned_model=f"ft:{job['model']}:1", trained_tokens=1234)
        if job["status"] == "failed":
            job["error"] = {"code": "invalid", "message": "the training file is too small", "param": None}
        return job

    def events(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        plain = {"id": "e1", "object": "fine_tuning.job.event", "created_at": 1, "level": "info"}
        metrics = {**plain, "id": "e2", "created_at": 2, "type": "metrics", "message": "Step 1"}
        data = {"step": 1, "total_steps": 9, "train_loss": 0.75}
        return [{**metrics, "data": data}, {**plain, "type": "message", "message": "Created job"}][: job["looks"]]


@contextmanager
def serve() -> Iterator[FinetuningEndpoint]:
    """Start the endpoint; it ends with the block."""
    endpoint = FinetuningEndpoint()
    server = _Server(("127.0.0.1", 0), _handler(endpoint))
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that leave before they have heard everything."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(endpoint: FinetuningEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, value: Any, status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def fail(self, status: int, message: str) -> None:
            self.answer({"error": {"message": message, "type": "invalid_request_error", "code": None}}, status)

        def admitted(self, name: str) -> bool:
            endpoint.calls[f"{self.command} {name}"] += 1
            if self.headers["Authorization"] != f"Bearer {KEY}":
                self.fail(401, "Incorrect API key provided")
                return False
            return True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            parts = self.path.removeprefix("/v1/").split("/")
            if not self.admitted("/".join(part for part in parts if not part.startswith("ftjob-"))):
                return
            if parts == ["chat", "completions"]:
                endpoint.asked[json.loads(body)["model"]] += 1
                self.answer(json.loads(completion(endpoint.chat, body)))
            elif parts == ["files"]:
                number = f"file-{len(endpoint.files) + 1}"
                name = body.partition(b'filename="')[2].partition(b'"')[0].decode()
                endpoint.files[number] = name
                made = {"id": number, "object": "file", "bytes": len(body), "created_at": 1, "filename": name}
                self.answer({**made, "purpose": "fine-tune", "status": "processed"})
            elif parts[-1] == "cancel":
                job = endpoint.jobs[parts[-2]]
                job["status"] = "cancelled"
                self.answer(job)
            elif endpoint.refuse is not None:
                self.fail(*endpoint.refuse)
            else:
                job = endpoint.create(json.loads(body))
                if endpoint.cut_off:
                    endpoint.cut_off = False
                    self.close_connection = True
                    self.connection.close()
                    return
                self.answer(job)

        def do_GET(self) -> None:
            parts = self.path.partition("?")[0].removeprefix("/v1/").split("/")
            if not self.admitted("/".join(part for part in parts if not part.startswith("ftjob-"))):
                return
            if parts[-1] == "jobs":
                self.answer({"object": "list", "data": list(endpoint.jobs.values()), "has_more": False})
            elif parts[-1] == "events":
                self.answer({"object": "list", "data": endpoint.events(endpoint.jobs[parts[-2]]), "has_more": False})
            elif parts[0] == "files":
                if parts[1] in endpoint.files:
                    self.answer({"id": parts[1], "object": "file", "bytes": 1, "created_at": 1, "purpose": "fine-tune"})
                else:
                    self.fail(404, f"No such File object: {parts[1]}")
            elif endpoint.flaky:
                endpoint.flaky -= 1
                self.fail(500, "try again")
            else:
                self.answer(endpoint.look(endpoint.jobs[parts[-1]]))

    return Handler
