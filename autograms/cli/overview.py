"""What stands in storage for an autogram, in two short tables: what was measured, and what each asset took.

Reads files alone, and asks Dagster's history through a process of its own. What does not belong here: measuring.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.cli.orchestration import ASSETS, MODULE, environment, storage_root
from autograms.conversation.failures import Failing, alike
from autograms.errors import ProgramFileError, RecordError, SettingsError
from autograms.settings import Project
from autograms.settings.chatbots import problem_of

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["Measured", "failures", "measured", "print_autogram", "print_project"]

_MOST_TOLD = 5

Measured = list[tuple[str, str]]
"""Rows of what was measured: the name, and the figure as text."""

_FIGURES = (
    ("held-out loss", "sft.eval_loss_before", "sft.eval_loss_after"),
    ("held-out exact match", "sft.exact_match_before", "sft.exact_match_after"),
    ("held-out exact match after DPO", "dpo.exact_match_after", None),
    ("decisions agreed", "base.agreement", "{judged}.agreement_after"),
    ("conversations as supervised", "base.conversation_agreement", "{judged}.conversation_agreement_after"),
    ("preference accuracy", "dpo.preference_accuracy", None),
    ("preference margin", "dpo.margin", None),
)


def print_autogram(name: str) -> None:
    """Print what was measured for an autogram, what each asset took, and where the report is.

    Raises:
        SettingsError: Where nothing is stored for it yet.
        RecordError: Where a stored file is damaged.
    """
    from rich.console import Console
    from rich.table import Table

    storage = storage_root()
    rows = measured(storage, name)
    if not rows:
        raise SettingsError(f"nothing is stored for {name!r} in {storage}; run: autograms materialize {name}")
    console = Console()
    table = Table("measured", "figure", title=name, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(_assets_table(storage, name, _history(name)))
    for failing in failures(storage, name):
        print(f"{failing.count} failed: {failing.told()}")
    report = storage / "evaluation" / name / "report.md"
    if report.is_file():
        print(f"report: {report}")


def print_project(project: Project) -> list[ProgramFileError]:
    """Print a project's autograms, each with what is stored for it, and return what is wrong with their files."""
    from rich.console import Console
    from rich.table import Table

    table = Table("autogram", "file", "stored", title=str(project.root), title_justify="left")
    storage = storage_root()
    problems = []
    for name in project.names():
        file = project.chatbot_file(name)
        stored = [asset for asset in ASSETS[:-1] if _place(storage, asset, name).exists()]
        problem = problem_of(file)
        if problem is not None:
            problems.append(problem)
        wrong = [] if problem is None else ["cannot be loaded"]
        table.add_row(name, str(file.relative_to(project.root)), ", ".join(stored + wrong) or "nothing")
    Console().print(table)
    return problems


def measured(storage: Path | UPath, name: str) -> Measured:
    """Return what was simulated, built and measured for an autogram; empty where nothing is stored.

    Raises:
        RecordError: Where a stored file is damaged.
    """
    rows = [*_counts(storage, name)]
    metrics = _metrics(storage / "evaluation" / name / "metrics.json")
    judged = "dpo" if "dpo" in metrics else "sft"
    for title, before, after in _FIGURES:
        first = _figure(metrics, before)
        second = _figure(metrics, after.format(judged=judged)) if after else None
        if first is not None and second is not None:
            rows.append((f"{title}, before and after", f"{first:.3f} -> {second:.3f}"))
        elif first is not None:
            rows.append((title, f"{first:.3f}"))
    verdict = metrics.get("verdict")
    if isinstance(verdict, dict) and isinstance(verdict.get("statement"), str):
        rows.append(("verdict", verdict["statement"]))
    return rows


def _counts(storage: Path | UPath, name: str) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from autograms.conversation.parquet import read_table

    memories = _place(storage, "conversation_memories", name)
    if memories.is_file():
        table = read_table(memories, columns=["status", "calls"])
        failed = table["status"].to_pylist().count("failed")
        calls = pc.sum(pc.list_value_length(table["calls"])).as_py() or 0
        yield "conversations", f"{table.num_rows}" + (f" ({failed} failed)" if failed else "")
        yield "calls", str(calls)
    try:
        for asset, title in (("sft_dataset", "SFT rows"), ("dpo_dataset", "DPO pairs")):
            file = _place(storage, asset, name)
            if file.is_file():
                with file.open("rb") as source:
                    splits = pq.ParquetFile(source).read(columns=["split"])["split"].to_pylist()
                yield title, f"{len(splits)} ({splits.count('validation')} held out)"
    except pa.ArrowException as error:
        raise RecordError(f"a table of {name!r} in {storage} is damaged ({error}); materialize it again") from None


@dataclass(slots=True)
class _Row:
    status: str
    error: str | None
    error_message: str | None
    error_place: str | None
    error_side: str | None


def failures(storage: Path | UPath, name: str) -> list[Failing]:
    """Return why conversations of an autogram failed, as they are stored, the most frequent first.

    Raises:
        RecordError: Where the table is damaged.
    """
    from autograms.conversation.parquet import read_table

    file = _place(storage, "conversation_memories", name)
    if not file.is_file():
        return []
    rows = read_table(file, columns=[field.name for field in fields(_Row)]).to_pylist()
    return alike(row for row in (_Row(**row) for row in rows) if row.status == "failed")[:_MOST_TOLD]


def _metrics(path: Path | UPath) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        metrics = json.loads(path.read_bytes())
    except ValueError as error:
        raise RecordError(f"{path} is damaged ({error}); materialize evaluation again") from None
    return metrics if isinstance(metrics, dict) else {}


def _figure(metrics: dict[str, Any], key: str) -> float | None:
    value: Any = metrics.get(key)
    if value is None:
        value = metrics
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("value")
    return float(value) if isinstance(value, int | float) else None


def _assets_table(storage: Path | UPath, name: str, history: dict[str, dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("asset", "last time", "seconds to make", title="assets", title_justify="left")
    for asset in ASSETS:
        last = history.get(asset)
        what = "never materialized" if last is None else "reused" if last.get("reused") else "made"
        seconds = _seconds(_place(storage, asset, name))
        table.add_row(asset, what, "" if seconds is None else f"{seconds:.1f}")
    return table


def _place(storage: Path | UPath, asset: str, name: str) -> Path | UPath:
    if asset == "leaderboard":
        return storage / f"{asset}.parquet"
    if asset in ("sft_model", "dpo_model", "evaluation"):
        return storage / asset / name
    return storage / asset / f"{name}.parquet"


def _seconds(place: Path | UPath) -> float | None:
    """Return how long a stored value took to make: from its stamp, in a folder or in a table's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if place.is_dir():
            text = (place / "stamp.json").read_bytes()
        else:
            with place.open("rb") as source:
                text = (pq.read_schema(source).metadata or {}).get(b"autograms.stamp", b"{}")
        seconds = json.loads(text).get("seconds")
    except (OSError, ValueError, pa.ArrowException):
        return None
    return float(seconds) if isinstance(seconds, int | float) else None


def _history(name: str) -> dict[str, dict[str, Any]]:
    """Return each asset's last materialization, empty where Dagster's history cannot be asked."""
    command = [sys.executable, "-m", f"{MODULE}.history", name, *ASSETS]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"warning: Dagster's history cannot be read: {done.stderr.strip()[-200:]}", file=sys.stderr)
        return {}
    history: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return history
