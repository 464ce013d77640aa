"""The sensor: keeps the partitions equal to the project's autograms, and runs the chain of each one that changed.

What does not belong here: finding out what changed (``watching``).
"""

import time
from collections import defaultdict
from pathlib import Path

import dagster as dg

from autograms.errors import AutogramsError
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.workspace import Workspace
from dagster_project.jobs import CHAIN
from dagster_project.watching import Changed, Look, Memo, look

__all__ = ["SENSORS", "autogram_files"]


@dg.sensor(
    job=CHAIN,
    minimum_interval_seconds=10,
    description=(
        "Watches chatbots, the local modules they import, userbots, scenarios and autograms.toml. Registers and "
        "removes partitions; runs the chain of every autogram that is new or changed, where it is whole. Off until "
        "switched on."
    ),
)
def autogram_files(context: dg.SensorEvaluationContext, workspace: dg.ResourceParam[Workspace]) -> dg.SensorResult:
    """Look at the project's files once."""
    try:
        found = look(Path(workspace.root), Memo.from_json(context.cursor), now=time.time())
    except AutogramsError as error:
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    for name in found.new_problems:
        context.log.warning(f"{name}: {found.problems[name]}")
    requests = [_run_request(changed) for changed in found.changed]
    registered = set(context.instance.get_dynamic_partitions("autogram"))
    added = [name for name in found.names if name not in registered]
    removed = sorted(registered - set(found.memo.autograms))
    return dg.SensorResult(
        run_requests=requests or None,
        skip_reason=None if requests else _reason(found, removed),
        cursor=found.memo.to_json(),
        dynamic_partitions_requests=_partition_requests(added, removed),
    )


def _run_request(changed: Changed) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{changed.name}:{changed.generation}:{changed.digest[:12]}",
        partition_key=changed.name,
        tags={"autograms/generation": str(changed.generation)},
    )


def _partition_requests(
    added: list[str], removed: list[str]
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if added:
        requests.append(AUTOGRAMS.build_add_request(added))
    if removed:
        requests.append(AUTOGRAMS.build_delete_request(removed))
    return requests


def _reason(found: Look, removed: list[str]) -> str:
    by_problem: dict[str, list[str]] = defaultdict(list)
    for name, problem in found.problems.items():
        by_problem[problem].append(name)
    parts = [f"{', '.join(names)} cannot run: {problem}" for problem, names in by_problem.items()]
    if found.waiting:
        parts.append(f"still being written: {', '.join(found.waiting)}")
    if removed:
        parts.append(f"removed: {', '.join(removed)}")
    return "; ".join(parts) or f"nothing changed in {len(found.memo.autograms)} autograms"


SENSORS = [autogram_files]
