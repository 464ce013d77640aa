"""What a simulation will take, beside the scenarios before anything is spent, and beside what it took afterwards.

Also the answers of earlier simulations, which both rest on. What does not belong here: planning
(``autograms.simulation.plan``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from autograms.errors import AutogramsError, RecordError
from autograms_assets.reuse import AssetConfig, Request
from autograms_assets.workspace import Workspace

if TYPE_CHECKING:
    from autograms.conversation.record import Memory
    from autograms.simulation.plan import Plan
    from autograms.simulation.scenarios import Scenario

__all__ = [
    "PLANNED_CALLS",
    "PLANNED_COST",
    "earlier_memories",
    "journal_of",
    "of_the_simulation",
    "planned",
    "planned_in_run",
]

_MEMORIES = "conversation_memories"
PLANNED_CALLS, PLANNED_COST = "planned calls", "planned cost (USD)"
"""The plan's metadata that what was paid is held against."""


def planned(workspace: Workspace, name: str, scenarios: "list[Scenario]", request: Request) -> dict[str, Any]:
    """Return the metadata that says what simulating the scenarios will take. A plan that cannot be made says why.

    Args:
        workspace: The project and its storage.
        name: The autogram.
        scenarios: The conversations.
        request: What is asked of the simulation.
    """
    try:
        plan = _plan(workspace, name, scenarios, request)
    except AutogramsError as error:
        return {"plan": f"not made: {error}"}
    except Exception as error:  # a program's own, whose message may quote what it was told
        request.log.warning(f"the simulation could not be planned: {type(error).__name__}")
        return {"plan": f"not made: the program raised {type(error).__name__}"}
    return {
        "plan": dg.MetadataValue.md(plan.as_markdown()),
        "stale conversations": plan.stale,
        **({"conversations that would fail": plan.failing} if plan.failing else {}),
        PLANNED_CALLS: plan.calls,
        "planned input tokens": plan.input_tokens,
        "planned output tokens": plan.output_tokens,
        PLANNED_COST: float(f"{plan.cost_usd:.4g}"),
    }


def planned_in_run(context: dg.AssetExecutionContext) -> dict[str, Any]:
    """Return what this run's materialization of ``scenarios`` planned; nothing where the run did not plan."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("scenarios"), asset_partitions=[context.partition_key])
    for record in context.instance.fetch_materializations(wanted, limit=1).records:
        event = record.asset_materialization
        if event is not None and record.run_id == context.run.run_id:
            return {key: event.metadata[key].value for key in (PLANNED_CALLS, PLANNED_COST) if key in event.metadata}
    return {}


def of_the_simulation(context: dg.AssetExecutionContext) -> Request:
    """Return what this run asks of the conversations: all again where it forces them."""
    configured: Any = context.run.run_config
    for key in ("ops", _MEMORIES, "config"):
        configured = configured.get(key) if isinstance(configured, Mapping) else None
    force = isinstance(configured, Mapping) and bool(configured.get("force"))
    return Request.of(context, AssetConfig(force=force))


def journal_of(workspace: Workspace, name: str) -> Path:
    """Return the journal of an autogram's simulations."""
    return workspace.scratch(_MEMORIES, name) / "calls.journal"


def earlier_memories(workspace: Workspace, name: str, request: Request) -> "list[Memory]":
    """Return the stored conversations, whose answers are reused; none where everything is asked for again."""
    from autograms.conversation.table import table_to_memories

    stored = workspace.stored(_MEMORIES, name)
    try:
        return table_to_memories(stored.table()) if not request.force and stored.exists() else []
    except RecordError as error:
        request.log.warning(f"{error}; what it held cannot be reused")
        return []


def _plan(workspace: Workspace, name: str, scenarios: "list[Scenario]", request: Request) -> "Plan":
    from autograms.simulation.plan import plan
    from autograms.simulation.project import open_simulator

    return plan(
        open_simulator(workspace.project(), name, unasked=True),
        scenarios,
        journal=journal_of(workspace, name),
        previous=earlier_memories(workspace, name, request),
        fresh=request.force,
    )
