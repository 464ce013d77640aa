"""The definitions that Dagster loads. How they are put together is in ``build``."""

from dagster_project.build import build_defs

__all__ = ["defs"]

defs = build_defs()
