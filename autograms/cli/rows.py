"""From a simulation's folder to the rows that train, and the ``.jsonl`` files beside the conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autograms.cli.options import ProviderType, RowKind
from autograms.cli.results import read_results

if TYPE_CHECKING:
    from autograms.datasets import BuiltDataset
    from autograms.settings import DatasetSettings

__all__ = ["prepare_rows"]


def prepare_rows(
    save_dir: Path, settings: DatasetSettings, *, kind: RowKind, flavor: ProviderType, output_dir: Path | None = None
) -> BuiltDataset:
    """Build the rows of a folder's conversations, write them as ``.jsonl`` files, and say what was built.

    Args:
        save_dir: The simulation's folder.
        settings: Which calls become rows.
        kind: ``sft`` or ``dpo``.
        flavor: Whose form the files have.
        output_dir: Where the files go; the simulation's folder where unset.

    Raises:
        SettingsError: Where the folder holds no conversations.
        DatasetError: Where no rows can be built.
    """
    from autograms.datasets import build_dpo, build_sft, export_jsonl

    memories = read_results(save_dir)
    built = (build_dpo if kind == "dpo" else build_sft)(memories, settings)
    target = output_dir or save_dir
    files = export_jsonl(built.table, target, flavor=flavor.value, kind=kind)
    print(built.report.as_markdown())
    print(f"wrote {', '.join(str(path) for path in files)}")
    return built
