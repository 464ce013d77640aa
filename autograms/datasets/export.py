"""The rows as JSONL files for trainers: Hugging Face and OpenAI.

    huggingface  train.jsonl      {"prompt": [messages], "completion": [answer]}
                 train_dpo.jsonl  {"prompt": [messages], "chosen": [answer], "rejected": [answer]}
    openai       train.jsonl      {"messages": [..., answer]}, with weight 1 on the answer and 0 on earlier ones
                 train_dpo.jsonl  {"input": {"messages", ...}, "preferred_output", "non_preferred_output"}

A row whose call offered tools has them as ``tools``. The arguments of calls of tools are JSON text for OpenAI, as its
chat API has them, and mappings for Hugging Face, as chat templates read them.
``validation.jsonl`` and ``validation_dpo.jsonl`` hold the held-out rows in the same form. The Hugging Face SFT form is
TRL's conversational prompt and completion, since ``messages`` would train on the whole conversation and not on the
answer alone. What does not belong here: other trainers' formats (``formats``) and OpenAI's rules (``openai_rules``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from autograms.conversation.atomic import replacing
from autograms.conversation.tool_calls import answer_message
from autograms.datasets.rows import chat_messages, row_tools
from autograms.datasets.split import TRAIN, VALIDATION
from autograms.errors import DatasetError
from autograms.models.tool_calls import with_mappings

__all__ = ["Flavor", "Kind", "export_jsonl", "export_rows", "rows_of", "write_jsonl"]

Flavor = Literal["huggingface", "openai"]
Kind = Literal["sft", "dpo"]
_COLUMNS: dict[str, list[str]] = {
    "sft": ["prompt", "completion"],
    "dpo": ["prompt", "chosen", "rejected"],
}
_ROWS_AT_ONCE = 1000


def export_jsonl(table: pa.Table, folder: Path, *, flavor: Flavor = "huggingface", kind: Kind = "sft") -> list[Path]:
    """Write the training and the held-out rows.

    A side without rows gets no file, and one that an earlier export left there is removed.

    Args:
        table: SFT or DPO rows.
        folder: Where the files go.
        flavor: Whose form the rows have.
        kind: ``sft`` or ``dpo``, as the table is.

    Returns:
        The files that were written, the training rows first.

    Raises:
        DatasetError: Where no row trains, or the table is not of that kind.
    """
    if TRAIN not in table["split"].unique().to_pylist():
        raise DatasetError(
            f"the {kind} dataset has no training rows, so {folder} gets no files; "
            "simulate more conversations, or loosen the filters (tag_query, min_score, primitives)"
        )
    suffix = "_dpo" if kind == "dpo" else ""
    written = []
    for side in (TRAIN, VALIDATION):
        path = folder / f"{side}{suffix}.jsonl"
        if write_jsonl(path, export_rows(table, flavor=flavor, kind=kind, split=side)):
            written.append(path)
    return written


def export_rows(table: pa.Table, *, flavor: Flavor, kind: Kind, split: str) -> Iterator[dict[str, Any]]:
    """Return one side's rows in a trainer's form, one at a time.

    Raises:
        DatasetError: Where the table is not of that kind, or the flavor is unknown.
    """
    forms = {
        ("huggingface", "sft"): _huggingface_sft,
        ("huggingface", "dpo"): _huggingface_dpo,
        ("openai", "sft"): _openai_sft,
        ("openai", "dpo"): _openai_dpo,
    }
    if (flavor, kind) not in forms:
        raise DatasetError(f"no export {flavor!r} of {kind!r} rows; there are: huggingface, openai of sft, dpo")
    form = forms[flavor, kind]
    return (form(row) for row in rows_of(table, kind=kind, split=split))


def rows_of(table: pa.Table, *, kind: Kind, split: str) -> Iterator[dict[str, Any]]:
    """Return one side's rows with the prompt as chat API messages, the answers as texts, and the tools.

    Raises:
        DatasetError: Where the table is not of that kind.
    """
    missing = [name for name in _COLUMNS[kind] if name not in table.column_names]
    if missing:
        raise DatasetError(f"the table holds no {kind} rows: the columns {', '.join(missing)} are missing")
    about = [name for name in ("kind", "tools") if name in table.column_names]
    wanted = table.select([*_COLUMNS[kind], *about, "split"]).filter(pc.field("split") == split)
    for batch in wanted.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield {"kind": "text", **row, "prompt": chat_messages(row["prompt"]), "tools": row_tools(row)}


def write_jsonl(path: Path, rows: Iterator[dict[str, Any]]) -> bool:
    """Write rows as lines of JSON, whole or not at all; without any row, remove the file that stands there.

    Returns:
        Whether there was a row.
    """
    first = next(rows, None)
    if first is None:
        path.unlink(missing_ok=True)
        return False
    with replacing(path) as file:
        file.write(_line(first))
        file.writelines(map(_line, rows))
    return True


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(_stripped(row), ensure_ascii=False) + "\n").encode()


def _stripped(value: Any) -> Any:
    """Return the value without the keys that have none, which JSON readers would take for columns of null.

    In what describes a tool, and in what one is called with, null means something.
    """
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None}
        return {key: item if key in ("tools", "arguments") else _stripped(item) for key, item in kept.items()}
    return [_stripped(item) for item in value] if isinstance(value, list) else value


def _answer(row: dict[str, Any], name: str, **fields: Any) -> dict[str, Any]:
    return {**answer_message(row["kind"], row[name]), **fields}


def _huggingface(row: dict[str, Any], *names: str) -> dict[str, Any]:
    answers = {name: with_mappings([_answer(row, name)]) for name in names}
    return {"prompt": with_mappings(row["prompt"]), **answers, "tools": row["tools"]}


def _huggingface_sft(row: dict[str, Any]) -> dict[str, Any]:
    return _huggingface(row, "completion")


def _huggingface_dpo(row: dict[str, Any]) -> dict[str, Any]:
    return _huggingface(row, "chosen", "rejected")


def _openai_sft(row: dict[str, Any]) -> dict[str, Any]:
    earlier = [{**message, "weight": 0} if message["role"] == "assistant" else message for message in row["prompt"]]
    return {"messages": [*earlier, _answer(row, "completion", weight=1)], "tools": row["tools"]}


def _openai_dpo(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "input": {"messages": row["prompt"], "tools": row["tools"] or [], "parallel_tool_calls": True},
        "preferred_output": [_answer(row, "chosen")],
        "non_preferred_output": [_answer(row, "rejected")],
    }
