"""What every step's process needs, imported once by the process that the steps are forked from.

Opening Dagster's instance imports its storage, and that its migrations: 0.9 s of a step's 1.6 s without this. What does
not belong here: anything that starts a thread or opens a file, or that only some steps need (torch, pandas).
"""

import importlib

__all__ = ["MODULES"]

MODULES = (
    "alembic.command",
    "sqlalchemy.dialects.sqlite",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.storage.event_log.sqlite.consolidated_sqlite_event_log",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.run_coordinator.default_run_coordinator",
    "dagster._core.launcher.default_run_launcher",
    "dagster._core.execution.api",
    "dagster._core.workspace.context",
    "pyarrow.parquet",
    "autograms.conversation.parquet",
    "dagster_project",
)

for _module in MODULES:
    importlib.import_module(_module)
