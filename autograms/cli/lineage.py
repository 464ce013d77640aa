"""Where a row of a stored dataset comes from, for people to read.

What does not belong here: finding a row's conversation (``autograms.datasets.lineage``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.cli.orchestration import storage_root
from autograms.errors import RecordError, SettingsError
from autograms.settings import Project

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

    from autograms.datasets.lineage import Origin

__all__ = ["print_row"]

_DATASETS = {"sft_dataset": "SFT", "dpo_dataset": "DPO"}


def print_row(project: Project, row_id: str, names: Sequence[str]) -> None:
    """Print a row, its conversation and its call.

    Args:
        project: The project.
        row_id: The row's id, or the beginning of it.
        names: The autograms whose datasets are searched.

    Raises:
        SettingsError: Where no stored dataset has the row.
        DatasetError: Where several rows begin so, or the row's conversation was simulated again.
        RecordError: Where a stored file is damaged.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from autograms.conversation.parquet import stream_memories
    from autograms.datasets.lineage import find_origin

    storage = storage_root()
    asset, name, row = _search(storage, row_id, names)
    path = storage / "conversation_memories" / f"{name}.parquet"
    origin = find_origin(stream_memories(path), row)
    table = Table(show_header=False, title=f"row {row['id']}", title_justify="left")
    for title, value in _facts(project, asset, name, row, origin, path):
        table.add_row(title, escape(value))
    console = Console()
    console.print(table)
    for title, text in _texts(row, origin):
        console.print(f"\n[bold]{title}[/bold]")
        console.print(text, markup=False, highlight=False)


def _search(storage: Path | UPath, row_id: str, names: Sequence[str]) -> tuple[str, str, dict[str, Any]]:
    import pyarrow as pa

    from autograms.datasets.lineage import find_row

    for name in names:
        for asset in _DATASETS:
            path = storage / asset / f"{name}.parquet"
            try:
                row = find_row(_table(path), row_id) if path.is_file() else None
            except (pa.ArrowException, KeyError) as error:
                raise RecordError(f"{path} is damaged ({error}); materialize {asset} again") from None
            if row is not None:
                return asset, name, row
    raise SettingsError(f"no row {row_id!r} in the datasets of {', '.join(names) or 'no autogram'} in {storage}")


def _table(path: Path | UPath) -> pa.Table:
    import pyarrow.parquet as pq

    with path.open("rb") as source:
        return pq.ParquetFile(source).read()


def _facts(
    project: Project, asset: str, name: str, row: dict[str, Any], origin: Origin, path: Path | UPath
) -> Iterator[tuple[str, str]]:
    memory, call = origin.memory, origin.call
    yield "dataset", f"{_DATASETS[asset]} rows of {name}, {row['split']}"
    yield "conversation", f"number {origin.number} in {path} ({memory.status})"
    yield "scenario", " ".join(filter(None, (memory.scenario, memory.scenario_data)))
    yield "call", f"number {origin.index} of {len(memory.calls)}: {call.primitive} ({call.kind})"
    yield "place", f"{call.place or 'unknown'} in {project.chatbot_file(name)}"
    if call.supervised:
        yield "supervisor", call.supervisor or "unknown"
    if call.score is not None:
        yield "score", f"{call.score:g}"
    if call.tags:
        yield "tags", ", ".join(call.tags)
    yield "model", call.model or "none: the supervisor gave the answer itself"
    yield "cost", "unknown" if call.cost_usd is None else f"${call.cost_usd:.6f}"
    yield "tokens", f"{call.input_tokens} in, {call.output_tokens} out" + (" (reused, not paid again)" * call.reused)
    nested = [other for other in memory.calls if other.parent == origin.index]
    if nested:
        costs = [other.cost_usd for other in nested if other.cost_usd is not None]
        yield "calls of the supervisor", f"{len(nested)}" + (f", ${sum(costs):.6f}" if costs else "")


def _texts(row: dict[str, Any], origin: Origin) -> Iterator[tuple[str, str]]:
    from autograms.conversation.tool_calls import answer_message, readable
    from autograms.datasets import chat_messages

    for message, sent in zip(row["prompt"], chat_messages(row["prompt"]), strict=True):
        yield message["role"], readable(sent) if "tool_calls" in sent else message["content"] or message["extra"] or ""
    for title in ("completion", "chosen", "rejected"):
        if title in row:
            yield title, readable(answer_message(row["kind"], row[title]))
    turns = origin.memory.turns
    said = [f"{turn.role}: {turn.content}" for turn in turns if turn.content]
    before = sum(1 for turn in turns if turn.content and turn.after <= origin.index)
    said.insert(before, f"-- here call {origin.index} was made --")
    yield "the conversation", "\n".join(said)
