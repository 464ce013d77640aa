"""From a simulation's folder to the rows that train, and the ``.jsonl`` files beside the conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autograms.cli.options import ProviderType, RowKind
from autograms.cli.results import stream_results

if TYPE_CHECKING:
    from autograms.datasets import BuiltDataset
    from autograms.settings import DatasetSettings

__all__ = ["build_rows", "print_markdown", "write_rows"]


def build_rows(save_dir: Path, settings: DatasetSettings, *, kind: RowKind, model: str | None = None) -> BuiltDataset:
    """Build the rows of a folder's conversations, and say what was built.

    Args:
        save_dir: The simulation's folder.
        settings: Which calls become rows.
        kind: ``sft`` or ``dpo``.
        model: The model whose tokens count for ``max_tokens_total``; they are estimated where unset.

    Raises:
        SettingsError: Where the folder holds no conversations.
        DatasetError: Where no rows can be built.
        TrainingError: Where the model's tokenizer cannot be had.
    """
    from autograms.datasets import build_dpo, build_sft

    build = build_dpo if kind == "dpo" else build_sft
    count_tokens = None
    if settings.max_tokens_total is not None and model is not None:
        from autograms.finetuning.counting import token_counter

        unlimited = settings.model_copy(update={"max_tokens_total": None})
        count_tokens = token_counter(model, lambda: build(stream_results(save_dir), unlimited).table, kind)
    built = build(stream_results(save_dir), settings, count_tokens=count_tokens)
    print_markdown(built.report.as_markdown())
    return built


def print_markdown(text: str) -> None:
    """Print a report as a terminal shows it: its tables in aligned columns, without marks."""
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def write_rows(built: BuiltDataset, folder: Path, *, kind: RowKind, flavor: ProviderType) -> None:
    """Write rows as ``.jsonl`` files.

    Args:
        built: The rows.
        folder: Where the files go.
        kind: ``sft`` or ``dpo``, as the rows are.
        flavor: Whose form the files have.

    Raises:
        DatasetError: Where no row trains.
    """
    from autograms.datasets import export_jsonl

    files = export_jsonl(built.table, folder, flavor=flavor.value, kind=kind)
    print(f"wrote {', '.join(str(path) for path in files)}")
