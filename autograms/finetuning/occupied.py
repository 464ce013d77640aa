"""One worker at a time in a job's folder: whoever takes up a job waits until the worker before has left it.

A worker whose run is gone goes on for a step and a checkpoint. The next run must not look for checkpoints before that.
What does not belong here: stopping a worker (``stopping``).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autograms.errors import TrainingError

__all__ = ["occupying", "wait_until_left"]

_LOCK = "worker.lock"
_LOOKED_AT_EVERY = 0.1
_PATIENCE = 900.0
"""Seconds that a worker may take for its last step and checkpoint."""


@contextmanager
def occupying(work: Path) -> Iterator[None]:
    """Hold a job's folder for this worker; it is free again when the block, or the process, ends."""
    import fcntl

    with (work / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_until_left(work: Path, *, patience: float = _PATIENCE) -> None:
    """Wait until no worker is in a job's folder any more, if one is.

    Args:
        work: The job's folder; it need not exist.
        patience: Seconds to wait.

    Raises:
        TrainingError: Where a worker is there still.
    """
    import fcntl

    if not (work / _LOCK).is_file():
        return
    deadline, told = time.monotonic() + patience, False
    with (work / _LOCK).open("r+") as file:  # over NFS, only a file that may be written can be locked
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not told:
                    warnings.warn(f"another training is still at work in {work}; waiting for it", stacklevel=2)
                    told = True
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"another training is still at work in {work} after {patience:.0f} s; wait for it, or end its "
                    "process (python -m autograms.finetuning.worker), and run this again"
                )
            time.sleep(_LOOKED_AT_EVERY)
