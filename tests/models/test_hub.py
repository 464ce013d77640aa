"""Names of models, before anything is loaded; the hub is one on loopback, or out of reach."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autograms.errors import ModelNameError
from autograms.models.hub import require_model

ASK = "import sys; from autograms.models.hub import require_model; print(require_model(sys.argv[1]))"


class Hub(BaseHTTPRequestHandler):
    """Knows one model, and is asked once for each name."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        known = self.path == "/api/models/team/known"
        body = b'{"id": "team/known", "modelId": "team/known", "tags": [], "siblings": []}' if known else b"{}"
        self.send_response(200 if known else 404)
        self.send_header("X-Error-Code", "" if known else "RepoNotFound")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Hub.asked
    server.shutdown()
    server.server_close()


def ask(name: str, endpoint: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "PATH": ""}
    return subprocess.run(
        [sys.executable, "-c", ASK, name], env=environment, capture_output=True, text=True, check=False
    )


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert require_model(str(tmp_path)) == str(tmp_path)


def test_the_hub_is_asked_once(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = hub
    assert ask("team/known", url, tmp_path).stdout == "team/known\n"
    done = ask("nope", url, tmp_path)
    assert "ModelNameError: 'nope' is neither a folder nor a model of the hub" in done.stderr
    assert [path for path in asked if "/models/" in path] == ["/api/models/team/known", "/api/models/nope"]


def test_a_model_in_the_cache_needs_no_hub(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--team--cached/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (tmp_path / "hub/models--team--cached/refs").mkdir()
    (tmp_path / "hub/models--team--cached/refs/main").write_text("abc")
    assert ask("team/cached", "http://127.0.0.1:9", tmp_path).stdout == "team/cached\n"


def test_a_hub_out_of_reach_is_told_at_once(tmp_path: Path) -> None:
    done = ask("team/known", "http://127.0.0.1:9", tmp_path)
    assert "'team/known' is neither a folder nor a model of the hub" in done.stderr
    assert "refused" in done.stderr


@pytest.mark.parametrize("name", ["/no/where", "a b/c", "a/b/c"])
def test_what_can_be_no_name(name: str) -> None:
    with pytest.raises(ModelNameError, match="neither a folder nor a model"):
        require_model(name)
