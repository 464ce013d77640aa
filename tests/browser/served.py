"""``dagster dev`` over a scratch project, as ``make dev`` starts it: web server, daemon and code server.

What does not belong here: the browser.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["make_home", "serve", "stop"]

_REPOSITORY = Path(__file__).parents[2]
_START_SECONDS = 150.0
_STOP_SECONDS = 30.0


def make_home(folder: Path) -> Path:
    """Return a new ``DAGSTER_HOME`` with the settings that the project is shipped with."""
    folder.mkdir(parents=True)
    shutil.copy(_REPOSITORY / "dagster_project" / "dagster.yaml", folder)
    return folder


@contextmanager
def serve(*, home: Path, project: Path, storage: Path) -> Iterator[str]:
    """Serve the project and yield the UI's address; every process is gone afterwards.

    Args:
        home: ``DAGSTER_HOME``.
        project: The project's folder.
        storage: Where results are stored.

    Raises:
        RuntimeError: Where the server does not come up.
    """
    port = _free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "AUTOGRAMS_PROJECT": str(project),
        "AUTOGRAMS_STORAGE": str(storage),
    }
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=_REPOSITORY, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_up(process, url, log)
            yield url
        finally:
            stop(process)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/server_info", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"dagster dev did not come up; it said:\n{log.read_text()[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and the whole group."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _kill_group(process.pid)
        process.wait()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
