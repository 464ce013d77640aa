"""``autograms branch``: other continuations of saved conversations, which share everything before a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograms.errors import SettingsError, nearest

if TYPE_CHECKING:
    from autograms.conversation.record import Memory

__all__ = ["branch"]

_TABLE = "branches.parquet"
_JOURNAL = "branches.journal"


def branch(
    save_dir: Annotated[Path, typer.Option("--save_dir", help="Folder that a simulation wrote.")],
    autogram_file: Annotated[Path, typer.Option("--autogram_file", help="The chatbot's program.")],
    at: Annotated[
        str, typer.Option("--at", help="reply_instruction, reply_instruction#2, turn#-1, reply_instruction#*, ...")
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="Continuations at each such call.")] = 4,
    userbot_file: Annotated[
        Path | None, typer.Option("--userbot_file", help="The user's program; a plain model-driven user where unset.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="Key of one conversation; all of the folder where unset.")
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option("--answer", help="What the call answers; given once for each continuation.")
    ] = None,
    other_model: Annotated[
        str | None, typer.Option("--other_model", help="Model that answers for the chatbot from there on.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model of the simulation.")] = None,
    user_model: Annotated[str | None, typer.Option("--user_model", help="The user's model; as --model.")] = None,
    base_url: Annotated[str | None, typer.Option("--base_url", help="URL of an OpenAI-compatible endpoint.")] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config_file", help="JSON or TOML options of the chatbot's AutogramConfig.")
    ] = None,
    user_config_file: Annotated[
        Path | None, typer.Option("--user_config_file", help="JSON or TOML options of the user's AutogramConfig.")
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option("--api_key_file", help='JSON file: {"openai": "KEY"}.')] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Conversations at once.")] = 64,
    budget_usd: Annotated[float | None, typer.Option("--budget_usd", min=0, help="US dollars it may cost.")] = None,
    budget_calls: Annotated[int | None, typer.Option("--budget_calls", min=0, help="Calls it may pay for.")] = None,
) -> None:
    """Go on otherwise from a call of saved conversations: another seed, another model, or another answer.

    The programs run again against the record, so that nothing before the call is paid. Writes branches.parquet into
    --save_dir; branches that are there already are not paid again.

    Example:

    \b
    autograms branch --save_dir simulation_data --autogram_file my_project/chatbots/greeter.py \\
        --userbot_file my_project/userbots/visitor.py --at reply_instruction#-1 --n 4
    """
    from autograms.cli.programs import open_program, plain_user_file
    from autograms.cli.progress import closing_line, progress_bar
    from autograms.cli.results import read_results
    from autograms.conversation.parquet import read_memories, write_memories
    from autograms.models import resolve_model
    from autograms.simulation.branching import Branches
    from autograms.simulation.budget import Budget
    from autograms.simulation.simulator import Simulator

    memories = _chosen(read_results(save_dir), scenario)
    common = {"base_url": base_url, "api_key_file": api_key_file, "supervisor_mode": True}
    chatbot = open_program(autogram_file, config_file=config_file, model=model, **common)  # type: ignore[arg-type]
    userbot = open_program(
        userbot_file or plain_user_file(),
        config_file=user_config_file or config_file,
        model=user_model or model,
        side="user",
        **common,  # type: ignore[arg-type]
    )
    branches = Branches(
        at,
        n,
        model=None if other_model is None else resolve_model(other_model, base_url=base_url),
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
    print(closing_line(made.memories, made.progress))
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
