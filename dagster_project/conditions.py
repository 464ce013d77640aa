"""Automation conditions: the sensor's work, for those who prefer declarative automation. Off until switched on.

One condition looks at the project's files, as the sensor does; every asset after ``autogram`` follows those that it
depends on, in the same run. Conditions cannot register partitions: ``autograms sync`` does, or the sensor. What does
not belong here: finding out what changed (``watching``).
"""

import warnings
from pathlib import Path

import dagster as dg

from autograms.errors import AutogramsError
from autograms_assets.partitions import AUTOGRAMS
from dagster_project.watching import Memo, look

__all__ = ["CONDITIONS", "ProgramChanged", "condition_of"]

_ROOT, _LAST = "autogram", "leaderboard"


class ProgramChanged(dg.AutomationCondition):
    """True of the autograms that are new or changed since the last look, and whole.

    Args:
        project: The project's folder.
    """

    def __init__(self, project: Path) -> None:
        self._project = project

    @property
    def name(self) -> str:
        """What the UI calls it."""
        return "program_changed"

    @property
    def requires_cursor(self) -> bool:
        """What was seen is remembered."""
        return True

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Look at the project's files once; where its settings are broken, nothing changed."""
        try:
            found = look(self._project, Memo.from_json(context.cursor), now=context.evaluation_time.timestamp())
        except AutogramsError as error:
            context.log.warning(str(error))
            return dg.AutomationResult(context, context.get_empty_subset(), cursor=context.cursor)
        for name in found.new_problems:
            context.log.warning(f"{name}: {found.problems[name]}")
        view = context.asset_graph_view
        registered = view.get_full_subset(key=context.key).expensively_compute_partition_keys()
        changed = {changed.name for changed in found.changed}
        for name in changed - registered:
            del found.memo.autograms[name]  # it is looked at again once it has a partition
        subset = view.get_subset_from_partition_keys(context.key, AUTOGRAMS, changed & registered)
        return dg.AutomationResult(
            context, context.candidate_subset.compute_intersection(subset), cursor=found.memo.to_json()
        )


def condition_of(asset: str, project: Path) -> dg.AutomationCondition:
    """Return the condition of an asset.

    Args:
        asset: Its name.
        project: The project's folder.
    """
    if asset == _ROOT:
        return ProgramChanged(project)
    if asset == _LAST:
        return dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
    return dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())


def _sensor() -> dg.AutomationConditionSensorDefinition:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # conditions of one's own are beta, and measured to work
        return dg.AutomationConditionSensorDefinition(
            "autogram_conditions",
            target=dg.AssetSelection.all(),
            use_user_code_server=True,  # the conditions are this project's own
            minimum_interval_seconds=30,
            description=(
                "Runs the chain of every autogram that is new or changed, by the assets' automation conditions; "
                "registers no partitions. Use it or autogram_files, not both. Off until switched on."
            ),
        )


CONDITIONS = _sensor()
