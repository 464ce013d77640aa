"""The asset ``scenarios``: the conversations that are to be simulated, one row each.

What does not belong here: reading a list's format (``autograms.simulation.scenarios``).
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from autograms.conversation.markdown import cell
from autograms.settings import AutogramSettings, Project
from autograms_assets.describe import CONVERSATIONS, described
from autograms_assets.failures import clear_failures
from autograms_assets.fingerprints import file_version, table_version
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.plans import of_the_simulation, planned
from autograms_assets.reuse import AssetConfig, Made, Request, reuse_or_make
from autograms_assets.workspace import Workspace

if TYPE_CHECKING:
    from autograms.simulation.scenarios import Scenario

__all__ = ["read_scenarios", "scenarios"]

_COLUMNS: dict[str, pa.DataType] = {
    "key": pa.string(),
    "num_turns": pa.int32(),
    "chatbot_kwargs": pa.string(),
    "user_kwargs": pa.string(),
    "user_goes_first": pa.bool_(),
    "seed": pa.int64(),
}
_SHOWN = 5
_LONGEST_CELL = 160


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    deps=["autogram"],
    **described(CONVERSATIONS, "parquet"),
)
def scenarios(
    context: dg.AssetExecutionContext, config: AssetConfig, workspace: dg.ResourceParam[Workspace]
) -> dg.MaterializeResult:
    """The conversations to simulate: the rows of the scenario file, or ``num_examples`` plain ones.

    Beside them, the plan: which conversations and calls are stale and why, and what they will cost.
    """
    name = context.partition_key
    with clear_failures(workspace.storage):
        settings, project = workspace.settings(name), workspace.project()
        file = project.scenario_file(settings)
        depends_on = {
            "file": file_version(file) if file else None,
            "settings": [None if file else settings.num_examples, settings.num_turns, settings.seed],
            "chosen": [settings.sample.model_dump() if settings.sample else None, settings.skip_bad_scenarios],
        }
        place, request = workspace.stored("scenarios", name), Request.of(context, config)
        made = reuse_or_make(place, depends_on, lambda: _made(project, settings, request), request=request)
        plan = planned(workspace, name, read_scenarios(place.table()), of_the_simulation(context))
    found = dict(made.metadata or {})
    return made._replace(metadata={"reused": found["reused"], **plan, **found})  # the plan is what people look for


def read_scenarios(table: pa.Table) -> "list[Scenario]":
    """Return the scenarios that a stored table holds."""
    from autograms.simulation.scenarios import Scenario

    rows = table.to_pylist()
    for row in rows:
        row["chatbot_kwargs"] = json.loads(row["chatbot_kwargs"])
        row["user_kwargs"] = json.loads(row["user_kwargs"])
    return [Scenario(**row) for row in rows]


def _made(project: Project, settings: AutogramSettings, request: Request) -> Made:
    from autograms.simulation.project import scenarios_of

    file = project.scenario_file(settings)
    rows = scenarios_of(project, settings, on_bad=lambda error: request.log.warning(f"left out: {error}"))
    table = _table(rows)
    summary = {
        "rows": table.num_rows,
        "user turns": sum(row.num_turns for row in rows),
        "from": str(file) if file else f"num_examples = {settings.num_examples}",
        "first rows": {"md": _as_markdown(rows[:_SHOWN])},
    }
    return Made(table_version(table), summary, table=table)


def _table(rows: "Sequence[Scenario]") -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "key": row.key,
                "num_turns": row.num_turns,
                "chatbot_kwargs": json.dumps(row.chatbot_kwargs, ensure_ascii=False),
                "user_kwargs": json.dumps(row.user_kwargs, ensure_ascii=False),
                "user_goes_first": row.user_goes_first,
                "seed": row.seed,
            }
            for row in rows
        ],
        schema=pa.schema(_COLUMNS),
    )


def _as_markdown(rows: "Sequence[Scenario]") -> str:
    lines = ["| scenario | turns | chatbot | user |", "|---|---|---|---|"]
    for row in rows:
        kwargs = (json.dumps(value, ensure_ascii=False) for value in (row.chatbot_kwargs, row.user_kwargs))
        shown = (cell(text, _LONGEST_CELL) for text in (row.key, row.num_turns, *kwargs))
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)
