"""The processes that runs are made in: how they are started, and how it is noticed that one is gone.

A run whose process was killed, or whose machine was switched off, would stay "started" in Dagster's state and keep its
place in the queue and in the pools. So each run's process, whoever started it, holds a file's lock for as long as it
lives, and the run launcher that ``dagster.yaml`` names tells Dagster's run monitoring whose lock is free. What does not
belong here: what runs do.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

# Not among the names that dagster exports:
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.multiprocess import MultiprocessExecutor
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan

__all__ = ["WatchingRunLauncher", "is_gone", "living", "watched_multiprocess"]

_MOST_STEPS = 2
"""Steps of one run at once."""
_LOCK = "process.lock"


@contextmanager
def living(folder: Path) -> Iterator[None]:
    """Hold a run's lock: its process lives.

    Args:
        folder: The run's folder on this machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, new = folder / _LOCK, folder / f"{_LOCK}.{os.getpid()}"
    with new.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        new.replace(path)  # nobody sees the file before it is locked
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_gone(folder: Path) -> bool:
    """Return whether a run's process began on this machine and lives no more, and the run did not end.

    Args:
        folder: The run's folder on this machine.
    """
    path = folder / _LOCK
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return path.exists()  # it is not where the process ended by itself just now
    except (FileNotFoundError, BlockingIOError):
        return False


class WatchingRunLauncher(dg.DefaultRunLauncher):
    """Dagster's own launcher, which also tells whether a run's process is gone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Always."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the run's process lives; one of another machine is taken to live."""
        if is_gone(_folder(self._instance, run.run_id)):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process was killed, or its machine stopped")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


class _Watched(MultiprocessExecutor):
    """One process a step, from a process that is watched."""

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        with living(_folder(plan_context.instance, plan_context.run_id)):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="multiprocess", config_schema={}, requirements=dg.multiple_process_executor_requirements())
def watched_multiprocess(context: dg.InitExecutorContext) -> dg.Executor:
    """One process a step. The in-process executor would swallow a cancellation where a retry policy is set."""
    return _Watched(
        retries=RetryMode.ENABLED,
        max_concurrent=_MOST_STEPS,
        start_method="forkserver",
        explicit_forkserver_preload=["dagster_project.preload"],
    )


def _folder(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.storage_directory()) / run_id
