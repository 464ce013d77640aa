"""Simulations in a process of their own, to be killed, interrupted and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["start", "wait_until", "wait_while_it_runs"]

_ROOT = Path(__file__).parents[2]
_SECONDS = 60


def start(program: str, folder: Path, url: str, **variables: str) -> subprocess.Popen[str]:
    """Run a program, the leader of a group, with a folder and an endpoint's URL as its arguments.

    Args:
        program: Python source.
        folder: Where its files are.
        url: The endpoint.
        **variables: Further environment variables.
    """
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder), url],
        cwd=_ROOT,
        env={**os.environ, **variables},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something to become true, a minute at the most."""
    ends = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def wait_while_it_runs(process: subprocess.Popen[str], condition: Callable[[], object]) -> None:
    """Wait for something to become true before a process ends, which tells why where it ended."""
    wait_until(lambda: condition() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
