"""``autograms dev``: Dagster's UI and daemon over a project, once for each ``DAGSTER_HOME``."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from autograms.errors import SettingsError

__all__ = ["alone", "dev"]

_LOCK = "dev.lock"
_OF_ITSELF = ("SupersessionWarning", "  return callback(*args, **kwargs)")
"""What Dagster says of its own command, and nobody who runs this one can change."""


def dev(
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The port.", min=1, max=65535)] = 3000,
) -> None:
    """Serve Dagster's UI and daemon for the project. Partitions are registered first, as by sync. Ctrl-C ends it.

    The project is $AUTOGRAMS_PROJECT, else that of the current folder. Whoever reaches the UI can run the project's
    programs: it asks for no password.

    Example:

    \b
    autograms dev
    autograms dev --port 3001
    """
    from autograms.cli.orchestration import MODULE, environment, run_module
    from autograms.settings import load_project

    project = load_project()
    url = _url(host, port)
    with alone(Path(environment()["DAGSTER_HOME"]), url):
        _refuse_taken(host, port)
        status = run_module([f"{MODULE}.sync"])
        if status not in (0, 2):  # 2 is said of files that cannot be partitions; the others can
            raise typer.Exit(status)
        print(f"Dagster's UI over {project.root}: {url} (in a few seconds; Ctrl-C ends it)", flush=True)
        arguments = ["dagster", "dev", "-m", MODULE, "--host", host, "--port", str(port)]
        raise typer.Exit(run_module(arguments, feed=_tell))


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


@contextmanager
def alone(home: Path, url: str) -> Iterator[None]:
    """Hold a Dagster's home: two daemons over one home disturb each other.

    Raises:
        SettingsError: Where another command serves it.
    """
    import fcntl

    with (home / _LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SettingsError(
                f"Dagster's UI over {home} is there already: {lock.read() or 'it is just starting'}; open it, or end "
                "it (Ctrl-C where it was started) first"
            ) from None
        lock.truncate(0)
        print(url, end="", file=lock, flush=True)
        yield


def _refuse_taken(host: str, port: int) -> None:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise SettingsError(
            f"cannot listen at {_url(host, port)}: {error.strerror}; choose another port (autograms dev --port "
            f"{port % 65535 + 1}), or end what listens there"
        ) from None


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        if not any(part in line for part in _OF_ITSELF):
            print(line, end="", file=sys.stderr, flush=True)
