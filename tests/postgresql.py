"""A PostgreSQL server of this machine, in a folder of its own, on a loopback port.

What does not belong here: what is stored in it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["missing_postgresql", "serve_postgresql"]

_ACCOUNTS = ("postgres", "nobody")


def missing_postgresql() -> str | None:
    """Return what is missing to start a server, ``None`` where nothing is."""
    missing = [name for name in ("initdb", "pg_ctl") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not found; install Debian's package postgresql"
    if os.getuid() == 0 and (shutil.which("runuser") is None or _account() is None):
        return "PostgreSQL does not run as root, and there is no other user to run it as"
    return None


@contextmanager
def serve_postgresql() -> Iterator[str]:
    """Start an empty database and yield its URL; the server and its folder are gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="autograms-postgresql-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, _account())
        data = str(folder / "data")
        _run("initdb", "-D", data, "-U", "autograms", "--auth=trust", "--no-sync", "-E", "UTF8", cwd=folder)
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        _run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start", cwd=folder)
        try:
            yield f"postgresql+psycopg2://autograms@127.0.0.1:{port}/postgres"
        finally:
            _run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop", cwd=folder)
    finally:
        shutil.rmtree(folder)


def _run(*command: str, cwd: Path) -> None:
    account = ["runuser", "-u", str(_account()), "--"] if os.getuid() == 0 else []
    with (cwd.parent / f"{cwd.name}.out").open("w+") as output:
        Path(output.name).unlink()
        done = subprocess.run([*account, *command], cwd=cwd, stdout=output, stderr=output, check=False)
        output.seek(0)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {output.read()[-2000:]}")


def _account() -> str | None:
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _ACCOUNTS if name in known), None)
