"""The asset ``conversation_memories``: every scenario played, with supervisors, and recorded.

What does not belong here: running conversations (``autograms.simulation``).
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from autograms.conversation.markdown import quoted
from autograms.conversation.record import SCHEMA_VERSION
from autograms.conversation.tool_calls import readable
from autograms.settings import AutogramSettings
from autograms_assets.autograms import refuse_changed
from autograms_assets.checks import memory_checks, memory_verdicts
from autograms_assets.describe import CONVERSATIONS, described
from autograms_assets.failures import clear_failures
from autograms_assets.fingerprints import memories_version, versions_of
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.pictures import counted, small_bars
from autograms_assets.plans import PLANNED_CALLS, PLANNED_COST, earlier_memories, journal_of, planned_in_run
from autograms_assets.reuse import AssetConfig, Made, Request, reuse_or_make
from autograms_assets.scenarios import read_scenarios
from autograms_assets.stamps import Stamp
from autograms_assets.stored import Stored
from autograms_assets.workspace import Workspace

if TYPE_CHECKING:
    from autograms.conversation.record import Memory
    from autograms.simulation.simulator import Progress, Simulation

__all__ = ["conversation_memories"]

_SECONDS_BETWEEN_LINES = 5.0
_SAMPLES = 3
_LONGEST_TOLD = 160
_PASSING = ("EndpointError", "CredentialsError", "BudgetError")
"""Failures of a conversation that say nothing about its program: they are tried again when asked again."""


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    pool="simulation",
    check_specs=memory_checks(),
    **described(CONVERSATIONS, "parquet"),
)
def conversation_memories(
    context: dg.AssetExecutionContext,
    config: AssetConfig,
    autogram: Stored,
    scenarios: Stored,
    workspace: dg.ResourceParam[Workspace],
) -> dg.MaterializeResult:
    """Every scenario played against the userbot, with supervisors, and recorded: one row a conversation.

    Calls that an earlier run paid for are reused; only those that an edit made stale reach the model.
    """
    name = context.partition_key
    with clear_failures(workspace.storage):
        settings = workspace.settings(name)
        sources = workspace.sources(name)
        refuse_changed(name, sources, autogram)
        settled = _settings_that_count(settings, name)
        depends_on = {"programs": autogram.version, "scenarios": scenarios.version, **settled}
        request = Request.of(context, config)
        simulation = _Job(name, settings, scenarios, workspace, request, planned_in_run(context))
        place = workspace.stored("conversation_memories", name)
        return reuse_or_make(place, depends_on, simulation.run, request=request, holds=_nothing_passing)


@dataclass(frozen=True)
class _Job:
    name: str
    settings: AutogramSettings
    scenarios: Stored
    workspace: Workspace
    request: Request
    planned: dict[str, Any]

    def run(self) -> Made:
        """Simulate, and describe what came of it."""
        from autograms.conversation.table import memories_to_table
        from autograms.simulation.plan import ensure_within, plan
        from autograms.simulation.project import budget_of, open_simulator
        from autograms.simulation.trimming import keep_replaced, trim_journal

        simulator = open_simulator(self.workspace.project(), self.name)
        budget, scenarios = budget_of(self.settings), read_scenarios(self.scenarios.table())
        paid: dict[str, Any] = {
            "journal": journal_of(self.workspace, self.name),
            "previous": earlier_memories(self.workspace, self.name, self.request),
            "fresh": self.request.force,
        }
        if budget and self.settings.over_budget == "fail":
            ensure_within(plan(simulator, scenarios, **paid), budget)
        on_progress = _every(_SECONDS_BETWEEN_LINES, self.request.log.info)
        with _told_of_batches(self.name, paid["journal"], self.request.log.warning):
            simulation = simulator.run(scenarios, budget=budget, on_progress=on_progress, **paid)
        self.request.log.info(simulation.told())
        memories = simulation.memories
        table = memories_to_table(memories)
        keep_replaced(paid["journal"], paid["previous"], memories)
        summary, verdicts = _summary(simulation, self.planned), memory_verdicts(memories)
        trim = partial(trim_journal, paid["journal"], memories)
        return Made(memories_version(memories), summary, verdicts, table, stored=trim)


@contextmanager
def _told_of_batches(name: str, journal: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Say what a simulation that ends early leaves at the endpoint."""
    from autograms.simulation.in_flight import left_in_flight

    try:
        yield
    except BaseException:
        left = left_in_flight(journal)
        if left:
            say(f"{left}, or cancel: autograms batches {name} --cancel")
        raise


def _settings_that_count(settings: AutogramSettings, name: str) -> dict[str, Any]:
    from autograms.simulation.project import WHO, identities

    return {
        "models": identities(settings, name, of=[who for who in WHO if who != "judge"]),
        "config": [settings.config, settings.user_config],
        "userbot faults": settings.on_userbot_fault,
        "branches": settings.branches.model_dump() if settings.branches else None,
        "rejected": settings.rejected,
        "versions": {"record": SCHEMA_VERSION, **versions_of("autograms-assets")},
    }


def _nothing_passing(stamp: Stamp) -> bool:
    return not any(error in _PASSING for error in stamp.summary.get("errors", {}))


def _every(seconds: float, say: Callable[[str], None]) -> "Callable[[Progress], None]":
    last = time.monotonic()

    def on_progress(progress: "Progress") -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            say(
                f"{progress.finished}/{progress.total} conversations, {progress.failed} failed, "
                f"{progress.paid} calls paid, {progress.reused} reused"
                + (f"; {progress.batches}" if progress.batches else "")
            )

    return on_progress


def _summary(simulation: "Simulation", planned: dict[str, Any]) -> dict[str, Any]:
    memories, progress = simulation.memories, simulation.progress
    statuses = Counter(memory.status for memory in memories)
    return {
        "rows": len(memories),
        "conversations": len(memories),
        "failed": statuses.get("failed", 0),
        **{status: count for status, count in sorted(statuses.items()) if status not in ("completed", "failed")},
        "errors": dict(Counter(memory.error for memory in memories if memory.error)),
        "calls": progress.calls,
        "paid calls": progress.paid,
        PLANNED_CALLS: planned.get(PLANNED_CALLS),
        "reused calls": progress.reused,
        "supervised calls": sum(call.supervised for memory in memories for call in memory.calls),
        "scores": _scores(memories),
        "input tokens": progress.input_tokens,
        "output tokens": progress.output_tokens,
        "cost (USD)": progress.cost_usd,
        PLANNED_COST: planned.get(PLANNED_COST),
        **_samples(memories),
    }


def _samples(memories: "Sequence[Memory]") -> dict[str, Any]:
    chosen = [memory for memory in memories if memory.turns][:: max(1, len(memories) // _SAMPLES)][:_SAMPLES]
    samples = {f"sample {number}": {"md": _as_markdown(memory)} for number, memory in enumerate(chosen, start=1)}
    failed = next((memory for memory in memories if memory.status == "failed" and memory not in chosen), None)
    return samples if failed is None else {**samples, "a failed conversation": {"md": _as_markdown(failed)}}


def _told(memory: "Memory") -> str:
    """Return what makes the scenario this one and no other: its arguments, else its key."""
    data = json.loads(memory.scenario_data or "{}")
    arguments = {**data.get("chatbot_kwargs", {}), **data.get("user_kwargs", {})}
    text = ", ".join(f"{name}: {value}" for name, value in arguments.items()) or f"scenario {memory.scenario}"
    return quoted(" ".join(text.split()), _LONGEST_TOLD)


def _scores(memories: "Sequence[Memory]") -> dict[str, str] | None:
    found = [call.score for memory in memories for call in memory.calls if call.score is not None]
    return small_bars(counted(found), "calls by score")


def _as_markdown(memory: "Memory") -> str:
    calls = "1 call" if len(memory.calls) == 1 else f"{len(memory.calls)} calls"
    lines = [f"*{_told(memory)}* ({memory.status}, {calls})"]
    if memory.error:
        place = quoted(memory.error_place or "no place")
        lines.append(f"*{quoted(memory.error)}*: {quoted(memory.error_message)} ({place})")
    lines += [f"**{turn['role']}:** {quoted(readable(turn))}" for turn in memory.transcript()]
    return "\n\n".join(lines)
