"""Putting the definitions together, with anything replaced that a test or another project wants to replace."""

from collections.abc import Mapping

import dagster as dg

from autograms.settings import find_project
from autograms_assets import autograms, datasets, evaluation, memories, models, scenarios
from dagster_project.conditions import CONDITIONS, condition_of
from dagster_project.jobs import JOBS
from dagster_project.processes import watched_multiprocess
from dagster_project.resources import asset_owners, build_resources
from dagster_project.sensors import SENSORS

__all__ = ["build_defs"]


def build_defs(overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """Assemble assets, jobs, sensors and resources.

    Args:
        overrides: Resources by name, in place of those that the environment asks for.
    """
    modules = [autograms, scenarios, memories, datasets, models, evaluation]
    assets = [asset for asset in dg.load_assets_from_modules(modules) if isinstance(asset, dg.AssetsDefinition)]
    owners, place = asset_owners(), find_project()

    def completed(spec: dg.AssetSpec) -> dg.AssetSpec:
        condition = condition_of(spec.key.to_user_string(), place.root)
        return spec.replace_attributes(owners=owners, automation_condition=condition)

    return dg.Definitions(
        assets=dg.map_asset_specs(completed, assets),
        jobs=JOBS,
        sensors=[*SENSORS, CONDITIONS],
        resources={**build_resources(place), **(overrides or {})},
        executor=watched_multiprocess,
    )
