"""A hub on loopback that speaks as much of the Hugging Face hub's API as an upload needs.

Weights go up by git LFS, as to a hub without Xet, whose protocol is not spoken here.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["FakeHub", "fake_hub"]


class FakeHub:
    """What was uploaded, and how the hub shall behave."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.cards: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.refuse: int | None = None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        if self.refuse is not None:
            return self.refuse, {"error": "refused"}
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return 200, {"url": f"{self.url}/team/desk", "name": "team/desk", "id": "team/desk"}
        if path == "/api/validate-yaml":
            self.cards.append(json.loads(body)["content"])
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            return 200, {
                "files": [
                    {"path": file["path"], "uploadMode": _mode(file["path"]), "shouldIgnore": False} for file in files
                ]
            }
        if "/commit/" in path:
            for line in body.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    self.files[value["path"]] = self.large[value["oid"]]
            return 200, {"commitOid": "c0ffee", "commitUrl": f"{self.url}/team/desk/commit/c0ffee"}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self._upload(each) for each in json.loads(body)["objects"]]}
        if method == "PUT" and path.startswith("/large/"):
            self.large[path.removeprefix("/large/")] = body
            return 200, {}
        if method == "GET" and path.startswith("/api/models/"):
            return 200, {"id": "team/desk", "sha": "c0ffee", "siblings": []}
        return 404, {"error": f"no such thing: {method} {path}"}

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {**wanted, "actions": {"upload": {"href": f"{self.url}/large/{wanted['oid']}"}}}


def _mode(path: str) -> str:
    """Return how the hub wants a file: weights apart from the commit, by their hash."""
    return "lfs" if path.endswith(".safetensors") else "regular"


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Run a hub for the time of the block."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PUT(self) -> None:
            self._serve()

        def log_message(self, *args: Any) -> None:
            pass

        def _serve(self) -> None:
            if not self.path.startswith("/large/"):  # an address that the hub made for one upload
                hub.keys.add(self.headers.get("Authorization"))
            status, value = hub.answer(self.command, self.path.partition("?")[0], self._body())
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while (size := int(self.rfile.readline(), 16)) > 0:
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
