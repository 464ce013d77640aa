"""``autograms branch``: other continuations of saved conversations, which share everything before a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from autograms.cli.options import AutogramFile, BudgetCalls, BudgetUsd, CastFlags, Concurrency, SaveDir, spelled_out
from autograms.errors import SettingsError, nearest

if TYPE_CHECKING:
    from autograms.conversation.record import Memory

__all__ = ["branch"]

_TABLE = "branches.parquet"
_JOURNAL = "branches.journal"


@spelled_out(after="autogram_file")
def branch(
    save_dir: SaveDir,
    autogram_file: AutogramFile,
    at: Annotated[
        str, typer.Option("--at", help="reply_instruction, reply_instruction#2, turn#-1, reply_instruction#*, ...")
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="Continuations at each such call.")] = 4,
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="Key of one conversation; all of the folder where unset.")
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option("--answer", help="What the call answers; given once for each continuation.")
    ] = None,
    other_model: Annotated[
        str | None, typer.Option("--other_model", help="Model that answers for the chatbot from there on.")
    ] = None,
    concurrency: Concurrency = 64,
    budget_usd: BudgetUsd = None,
    budget_calls: BudgetCalls = None,
    **cast: Unpack[CastFlags],
) -> None:
    """Go on otherwise from a call of saved conversations: another seed, another model, or another answer.

    The programs run again against the record, so that nothing before the call is paid. Writes branches.parquet into
    --save_dir; branches that are there already are not paid again.

    Example:

    \b
    autograms branch --save_dir simulation_data --autogram_file my_project/chatbots/greeter.py \\
        --userbot_file my_project/userbots/visitor.py --at reply_instruction#-1 --n 4
    """
    from autograms.cli.programs import open_cast, open_model
    from autograms.cli.progress import progress_bar
    from autograms.cli.results import read_results
    from autograms.conversation.parquet import read_memories, write_memories
    from autograms.simulation.branching import Branches
    from autograms.simulation.budget import Budget
    from autograms.simulation.simulator import Simulator

    memories = _chosen(read_results(save_dir), scenario)
    chatbot, userbot = open_cast(autogram_file, cast)
    branches = Branches(
        at,
        n,
        model=None if other_model is None else open_model(other_model, cast),
        answers=tuple(answer or ()),
    )
    table, journal = save_dir / _TABLE, save_dir / _JOURNAL
    with progress_bar(0) as bar:
        made = Simulator(chatbot, userbot, concurrency=concurrency).branch(
            memories,
            branches,
            journal=journal,
            previous=read_memories(table) if table.exists() else (),
            budget=Budget(budget_usd, budget_calls),
            on_progress=bar,
        )
    write_memories(table, made.memories)
    if not made.progress.truncated:
        journal.unlink(missing_ok=True)
    print(made.told())
    print(f"wrote {table}: {len(made.memories)} branches")


def _chosen(memories: list[Memory], scenario: str | None) -> list[Memory]:
    whole = [memory for memory in memories if memory.branch is None and memory.status == "completed"]
    if scenario is None:
        return whole
    chosen = [memory for memory in whole if memory.scenario == scenario]
    if not chosen:
        keys = [memory.scenario for memory in whole]
        listing = ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
        raise SettingsError(
            f"no completed conversation of scenario {scenario!r}{nearest(scenario, keys)} (there are: {listing})"
        )
    return chosen
