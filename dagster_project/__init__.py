"""The Dagster project: ``dagster asset materialize -m dagster_project`` and ``dagster dev`` load it."""

from dagster_project.definitions import defs

__all__ = ["defs"]
