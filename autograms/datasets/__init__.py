"""Datasets: which recorded calls train, the rows they become, and the files that trainers read."""

from autograms.datasets.build import BuiltDataset, RowStream
from autograms.datasets.checks import Finding, check_rows
from autograms.datasets.export import export_jsonl
from autograms.datasets.kinds import build_dpo, build_sft, stream_dpo, stream_sft
from autograms.datasets.report import DatasetReport
from autograms.datasets.rows import DPO_SCHEMA, SFT_SCHEMA, chat_messages
from autograms.datasets.source import stream_for_rows

__all__ = [
    "DPO_SCHEMA",
    "SFT_SCHEMA",
    "BuiltDataset",
    "DatasetReport",
    "Finding",
    "RowStream",
    "build_dpo",
    "build_sft",
    "chat_messages",
    "check_rows",
    "export_jsonl",
    "stream_dpo",
    "stream_for_rows",
    "stream_sft",
]
