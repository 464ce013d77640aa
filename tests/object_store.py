"""An S3-speaking server of this machine, in a process of its own.

What does not belong here: what is stored in it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import s3fs

__all__ = ["serve_s3"]

_START_SECONDS = 60.0
_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def serve_s3(bucket: str, *, checks_keys: bool = False) -> Iterator[dict[str, str]]:
    """Serve an empty bucket and yield the environment variables that lead there; nothing is left afterwards.

    Args:
        bucket: The bucket's name.
        checks_keys: Refuse every key: nobody was given one.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, **_ENVIRONMENT}
    if checks_keys:
        environment["INITIAL_NO_AUTH_ACTION_COUNT"] = "1"  # the making of the bucket
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _create(process, f"{url}/{bucket}")
        s3fs.S3FileSystem.clear_instance_cache()  # its clients speak to the server that was there before
        yield {**_ENVIRONMENT, "AWS_ENDPOINT_URL": url}
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        process.kill()
        process.wait()


def _create(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=10).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not come up (exit status {process.poll()})")
