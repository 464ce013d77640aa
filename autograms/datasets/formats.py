"""The rows in the forms of other trainers: ShareGPT, Alpaca, LLaMA-Factory's index of data sets, TRL's YAML.

What belongs here: forms that lose something or need a file beside them. What does not: the JSONL files (``export``).
ShareGPT and Alpaca hold texts of a user and an assistant in turn, after a system prompt. A row that is no such
conversation (it opens with the assistant, or calls tools) is left out and counted, since bending it would train another
prompt than deployment sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from autograms.conversation.atomic import replacing
from autograms.datasets.export import Kind, export_rows, rows_of, write_jsonl
from autograms.datasets.split import TRAIN, VALIDATION
from autograms.errors import DatasetError

__all__ = ["export_alpaca", "export_sharegpt", "export_trl", "write_llamafactory_index"]

_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
}
_ALPACA = {"prompt": "instruction", "query": "input", "response": "output", "system": "system", "history": "history"}

Form = Callable[[dict[str, Any], str, list[str]], dict[str, Any]]


def export_sharegpt(table: pa.Table, folder: Path, *, kind: Kind = "sft") -> tuple[list[Path], int]:
    """Write ``train_sharegpt.jsonl`` and ``validation_sharegpt.jsonl`` (``..._sharegpt_dpo.jsonl`` for pairs).

    Only the last answer should train: set ``mask_history: true`` in LLaMA-Factory.

    Returns:
        The files that were written, and how many rows were left out.

    Raises:
        DatasetError: Where no training row can be written.
    """
    return _export(table, folder, "sharegpt", kind, _sharegpt_dpo if kind == "dpo" else _sharegpt_sft)


def export_alpaca(table: pa.Table, folder: Path) -> tuple[list[Path], int]:
    """Write the SFT rows as ``train_alpaca.jsonl`` and ``validation_alpaca.jsonl``.

    Returns:
        The files that were written, and how many rows were left out.

    Raises:
        DatasetError: Where no training row can be written.
    """
    return _export(table, folder, "alpaca", "sft", _alpaca)


def write_llamafactory_index(folder: Path) -> Path:
    """Write ``dataset_info.json`` for the ShareGPT and Alpaca files that stand in the folder.

    Raises:
        DatasetError: Where there are none.
    """
    index: dict[str, Any] = {}
    for path in sorted(folder.glob("*.jsonl")):
        if "_sharegpt" in path.stem:
            columns = {"messages": "conversations", "system": "system"}
            pairs = {"chosen": "chosen", "rejected": "rejected"} if path.stem.endswith("_dpo") else {}
            index[f"autograms_{path.stem}"] = {
                "file_name": path.name,
                "formatting": "sharegpt",
                "columns": columns | pairs,
                "tags": _TAGS,
                **({"ranking": True} if pairs else {}),
            }
        elif path.stem.endswith("_alpaca"):
            index[f"autograms_{path.stem}"] = {"file_name": path.name, "formatting": "alpaca", "columns": _ALPACA}
    if not index:
        raise DatasetError(f"{folder} holds no ShareGPT or Alpaca files to list; export them first")
    target = folder / "dataset_info.json"
    with replacing(target) as file:
        file.write(json.dumps(index, indent=2).encode())
    return target


def export_trl(table: pa.Table, folder: Path, *, model: str, output_dir: str, kind: Kind = "sft") -> Path:
    """Write ``trl_sft.yaml`` (``trl_dpo.yaml``) for ``trl sft --config``, and its rows in the folder ``trl_sft``.

    The rows have a folder to themselves, since TRL's commands take a folder's files for the splits of one data set.

    Args:
        table: SFT or DPO rows.
        folder: Where both go.
        model: The model's name or folder.
        output_dir: Where the trained model goes.
        kind: ``sft`` or ``dpo``, as the table is.

    Returns:
        The YAML file.

    Raises:
        DatasetError: Where no row trains, or the table is not of that kind.
    """
    import yaml

    rows = folder / f"trl_{kind}"
    written = []
    for side in (TRAIN, VALIDATION):
        if write_jsonl(rows / f"{side}.jsonl", export_rows(table, flavor="huggingface", kind=kind, split=side)):
            written.append(side)
    if TRAIN not in written:
        raise DatasetError(f"the {kind} dataset has no training rows, so there is nothing for TRL to train on")
    config = {
        "model_name_or_path": model,
        "dataset_name": str(rows.resolve()),
        "dataset_train_split": TRAIN,
        "output_dir": output_dir,
    }
    if VALIDATION in written:
        config |= {"dataset_test_split": VALIDATION, "eval_strategy": "epoch"}
    target = folder / f"trl_{kind}.yaml"
    with replacing(target) as file:
        file.write(yaml.safe_dump(config, sort_keys=False).encode())
    return target


def _export(table: pa.Table, folder: Path, name: str, kind: Kind, form: Form) -> tuple[list[Path], int]:
    left_out = 0

    def formed(side: str) -> Iterator[dict[str, Any]]:
        nonlocal left_out
        for row in rows_of(table, kind=kind, split=side):
            turns = None if row["tools"] else _turns(row["prompt"])
            if turns is None:
                left_out += 1
            else:
                yield form(row, *turns)

    suffix = "_dpo" if kind == "dpo" else ""
    paths = [folder / f"{side}_{name}{suffix}.jsonl" for side in (TRAIN, VALIDATION)]
    written = [path for path, side in zip(paths, (TRAIN, VALIDATION), strict=True) if write_jsonl(path, formed(side))]
    if paths[0] not in written:
        raise DatasetError(
            f"no training row has the form of {name} ({left_out} open with the assistant, or hold more than texts); "
            "use the huggingface or openai export"
        )
    return written, left_out


def _turns(prompt: list[dict[str, Any]]) -> tuple[str, list[str]] | None:
    """Return the system prompt, and the texts of user and assistant in turn, the user's first and last."""
    system, messages = "", prompt
    if prompt and prompt[0]["role"] == "system":
        system, messages = prompt[0]["content"], prompt[1:]
    roles = [message["role"] for message in messages]
    plain = all(message.keys() == {"role", "content"} and isinstance(message["content"], str) for message in prompt)
    if not plain or len(roles) % 2 == 0 or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return None
    return system, [message["content"] for message in messages]


def _sharegpt(turns: list[str]) -> list[dict[str, str]]:
    return [{"from": "gpt" if index % 2 else "human", "value": text} for index, text in enumerate(turns)]


def _sharegpt_sft(row: dict[str, Any], system: str, turns: list[str]) -> dict[str, Any]:
    return {"conversations": _sharegpt([*turns, row["completion"]]), "system": system}


def _sharegpt_dpo(row: dict[str, Any], system: str, turns: list[str]) -> dict[str, Any]:
    answers = {side: {"from": "gpt", "value": row[side]} for side in ("chosen", "rejected")}
    return {"conversations": _sharegpt(turns), "system": system, **answers}


def _alpaca(row: dict[str, Any], system: str, turns: list[str]) -> dict[str, Any]:
    history = [turns[index : index + 2] for index in range(0, len(turns) - 1, 2)]
    return {"instruction": turns[-1], "input": "", "output": row["completion"], "system": system, "history": history}
