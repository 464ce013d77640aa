"""``autograms simulate`` and the guide's ``run_simulation.py``: conversations between a chatbot and a userbot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

from autograms.cli.options import AutogramFile, BudgetCalls, BudgetUsd, CastFlags, Concurrency, spelled_out
from autograms.errors import ProgramError, ScenarioError

if TYPE_CHECKING:
    from autograms.conversation.record import Memory
    from autograms.simulation.scenarios import Scenario
    from autograms.simulation.simulator import Simulation

__all__ = ["simulate"]

_EXAMPLES = 5
_MOST_TOLD = 5
"""Kinds of failures that the closing report tells of."""


class Fault(StrEnum):
    """What is done with a conversation whose user did something wrong."""

    keep = "keep"
    drop = "drop"
    retry = "retry"


class Engine(StrEnum):
    """Where conversations are simulated."""

    local = "local"
    ray = "ray"


@spelled_out(after="autogram_file")
def simulate(
    autogram_file: AutogramFile,
    num_turns: Annotated[int, typer.Option("--num_turns", min=1, help="User turns of a conversation.")] = 1,
    num_examples: Annotated[
        int | None,
        typer.Option(
            "--num_examples", min=1, help=f"Conversations to simulate without a list; {_EXAMPLES} where unset."
        ),
    ] = None,
    simulation_list_file: Annotated[
        Path | None,
        typer.Option(
            "--simulation_list_file",
            help="Scenarios in JSON, JSON Lines, CSV or Parquet; all of them count, whatever --num_examples says: "
            "--sample takes a part.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip_bad", help="Leave wrong scenarios out, and name them, instead of failing.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Simulate only so many of the scenarios, drawn by --seed.")
    ] = None,
    save_dir: Annotated[Path, typer.Option("--save_dir", help="Folder for the conversations.")] = Path(
        "simulation_data"
    ),
    allow_overwrite: Annotated[
        bool, typer.Option("--allow_overwrite", help="Replace results in the folder; calls they hold are not repeated.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Make every call again, whatever earlier results hold.")
    ] = False,
    memory_file: Annotated[
        Path | None, typer.Option("--memory_file", help="Saved conversation that the chatbot goes on from.")
    ] = None,
    user_memory_file: Annotated[
        Path | None, typer.Option("--user_memory_file", help="Saved conversation that the user goes on from.")
    ] = None,
    concurrency: Concurrency = 64,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Where to simulate: in this process, or on a Ray cluster.")
    ] = Engine.local,
    ray_address: Annotated[
        str | None,
        typer.Option("--ray_address", help="The cluster, HOST:6379 or auto; RAY_ADDRESS, or one of its own, else."),
    ] = None,
    ray_workers: Annotated[
        int | None,
        typer.Option("--ray_workers", min=1, help="Workers on the cluster; as many as there are CPUs where unset."),
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Send the calls through the batch API, at half the price, in waves.")
    ] = False,
    batch_poll_seconds: Annotated[
        float, typer.Option("--batch_poll_seconds", min=0.01, help="Longest wait between two looks at a batch.")
    ] = 60.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the scenarios that have none.")] = 0,
    on_userbot_fault: Annotated[
        Fault, typer.Option("--on_userbot_fault", help="What is done where the user's program did something wrong.")
    ] = Fault.keep,
    branch_at: Annotated[
        str | None,
        typer.Option("--branch_at", help="Call at which conversations are branched: reply_instruction, turn#2, ..."),
    ] = None,
    branches: Annotated[int, typer.Option("--branches", min=1, help="Continuations at --branch_at.")] = 4,
    student: Annotated[
        str | None, typer.Option("--student", help="Model whose answers are rejected where the supervisors' differ.")
    ] = None,
    budget_usd: BudgetUsd = None,
    budget_calls: BudgetCalls = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask where the estimate is above the budget: go on until it is spent.")
    ] = False,
    **cast: Unpack[CastFlags],
) -> None:
    """Simulate conversations between a chatbot and a userbot, supervisors answering for the chatbot.

    Writes example0.pkl, example1.pkl, ... and memories.parquet into --save_dir. Interrupted, it keeps every finished
    call; the same command goes on from there.

    Example:

    \b
    autograms simulate --autogram_file examples/chatbots/support_desk.py \\
        --userbot_file examples/userbots/support_customer.py --model offline/demo \\
        --simulation_list_file examples/scenarios/support_desk.json
    """
    from autograms.cli.programs import open_cast, open_model
    from autograms.cli.progress import progress_bar
    from autograms.cli.results import JOURNAL, alone, read_saved_conversation, refuse_results, write_results
    from autograms.cli.spending import agree_to_spend
    from autograms.simulation.branching import Branches
    from autograms.simulation.budget import Budget
    from autograms.simulation.ray_engine import RayEngine
    from autograms.simulation.scenarios import plain_scenarios
    from autograms.simulation.simulator import Simulator

    refuse_results(save_dir, allow_overwrite=allow_overwrite)
    if simulation_list_file is None:
        scenarios = plain_scenarios(num_examples or _EXAMPLES, num_turns=num_turns, seed=seed)
    else:
        scenarios = _listed(simulation_list_file, num_turns, seed, skip_bad=skip_bad, sample=sample)
        if num_examples is not None and num_examples < len(scenarios):
            print(
                f"the list takes precedence over --num_examples ({num_examples}); --sample {num_examples} takes a part"
            )
    chatbot, userbot = open_cast(autogram_file, cast)
    chatbot_memory = None if memory_file is None else read_saved_conversation(memory_file)
    user_memory = None if user_memory_file is None else read_saved_conversation(user_memory_file)
    with alone(save_dir):
        refuse_results(save_dir, allow_overwrite=allow_overwrite)  # another simulation may have ended meanwhile
        previous = [] if fresh else _previous(save_dir)
        _notice_offline(chatbot.model.name)

        simulator = Simulator(
            chatbot,
            userbot,
            concurrency=concurrency,
            on_userbot_fault=on_userbot_fault.value,
            branches=None if branch_at is None else Branches(branch_at, branches),
            student=None if student is None else open_model(student, cast),
            engine=RayEngine(ray_address, ray_workers) if engine is Engine.ray else None,
            batch=batch,
            batch_poll_seconds=batch_poll_seconds,
        )
        budget = Budget(budget_usd, budget_calls)
        known: dict[str, Any] = {
            "journal": save_dir / JOURNAL,
            "previous": previous,
            "fresh": fresh,
            "chatbot_memory": chatbot_memory,
            "user_memory": user_memory,
        }
        agree_to_spend(simulator, scenarios, budget, yes=yes, **known)
        with _kept(save_dir / JOURNAL, cast["base_url"]), progress_bar(len(scenarios)) as bar:
            simulation = simulator.run(scenarios, budget=budget, on_progress=bar, **known)
        _refuse_complete_failure(simulation.memories)
        write_results(save_dir, simulation.memories)
        if not simulation.progress.truncated:
            (save_dir / JOURNAL).unlink(missing_ok=True)
        _report(simulation, save_dir)


def _listed(file: Path, num_turns: int, seed: int, *, skip_bad: bool, sample: int | None) -> list[Scenario]:
    from autograms.simulation.scenarios import load_scenarios, sample_scenarios

    def tell(error: ScenarioError) -> None:
        print(f"left out: {error}", file=sys.stderr)

    scenarios = load_scenarios(file, num_turns=num_turns, seed=seed, on_bad=tell if skip_bad else None)
    drawn = scenarios if sample is None else sample_scenarios(scenarios, sample, seed=seed)
    how_many = f"all {len(drawn)}" if len(drawn) == len(scenarios) else f"{len(drawn)} of the {len(scenarios)}"
    print(f"simulating {how_many} scenarios of {file}")
    return drawn


def _previous(save_dir: Path) -> list[Memory]:
    from autograms.cli.results import TABLE, read_results

    return read_results(save_dir) if (save_dir / TABLE).exists() else []


@contextmanager
def _kept(journal: Path, base_url: str | None) -> Iterator[None]:
    """Say what an interrupt leaves behind."""
    from autograms.simulation.in_flight import left_in_flight

    try:
        yield
    except KeyboardInterrupt:
        if journal.exists():
            print(f"finished calls are kept in {journal}; the same command goes on from there", file=sys.stderr)
        left = left_in_flight(journal)
        if left:
            there = f" --base_url {base_url}" if base_url else ""
            cancel = f"autograms batches --save_dir {journal.parent} --cancel{there}"
            print(f"{left}, or cancel: {cancel}", file=sys.stderr)
        raise


def _notice_offline(model: str) -> None:
    if model.startswith("offline/"):
        print(f"{model} is embedded and deterministic: its answers are no measure of any model")


def _refuse_complete_failure(memories: list[Memory]) -> None:
    """Refuse results of which every conversation failed: they hold nothing to train on, and one mistake made them."""
    from autograms.conversation.failures import alike, most_frequent

    failed = [memory for memory in memories if memory.status == "failed"]
    if not failed or len(failed) < len(memories):
        return
    raise ProgramError(
        f"every conversation failed ({len(failed)}), nothing was written; most often: {most_frequent(alike(failed))}"
    )


def _report(simulation: Simulation, save_dir: Path) -> None:
    from autograms.conversation.failures import alike

    memories, progress = simulation.memories, simulation.progress
    print(simulation.told())
    for failing in alike(memory for memory in memories if memory.status == "failed")[:_MOST_TOLD]:
        print(f"{failing.count} failed: {failing.told()}", file=sys.stderr)
    if progress.truncated:
        print(
            f"the budget is spent: {progress.truncated} conversations are not finished; the same command with "
            "--allow_overwrite and a larger budget goes on from there",
            file=sys.stderr,
        )
    print(f"wrote {save_dir}/memories.parquet and {len(memories)} example*.pkl")
