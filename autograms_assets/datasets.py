"""The assets ``sft_dataset`` and ``dpo_dataset``: the rows that train.

What does not belong here: choosing and building rows (``autograms.datasets``).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from autograms.conversation.markdown import code, quoted
from autograms.conversation.tool_calls import answer_message, readable
from autograms.models.files import tokenizer_version
from autograms.settings import AutogramSettings, DatasetSettings
from autograms_assets.audits import Target
from autograms_assets.checks import audit_verdict, dpo_checks, row_verdicts, sft_checks
from autograms_assets.describe import DATASETS, described
from autograms_assets.failures import clear_failures
from autograms_assets.fingerprints import table_version, versions_of
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.pictures import counted, small_bars
from autograms_assets.reuse import AssetConfig, Made, Request, reuse_or_make
from autograms_assets.stored import Stored
from autograms_assets.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from autograms.datasets.build import BuiltDataset

__all__ = ["dpo_dataset", "sft_dataset"]

_NOT_CONTENT = ("cost_usd", "model", "place", "supervisor")
"""Columns that say how a row came to be and teach nothing."""
_SHOWN = 3


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    check_specs=sft_checks(),
    **described(DATASETS, "parquet"),
)
def sft_dataset(
    context: dg.AssetExecutionContext,
    config: AssetConfig,
    conversation_memories: Stored,
    workspace: dg.ResourceParam[Workspace],
) -> dg.MaterializeResult:
    """One row for every call that the deployed program makes: its prompt, and the best answer known."""
    return _dataset("sft", context, config, conversation_memories, workspace)


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    check_specs=dpo_checks(),
    **described(DATASETS, "parquet"),
)
def dpo_dataset(
    context: dg.AssetExecutionContext,
    config: AssetConfig,
    conversation_memories: Stored,
    workspace: dg.ResourceParam[Workspace],
) -> dg.MaterializeResult:
    """One pair for every answer that a supervisor rejected: the prompt, the better answer, the rejected one."""
    return _dataset("dpo", context, config, conversation_memories, workspace)


def _dataset(
    kind: Literal["sft", "dpo"],
    context: dg.AssetExecutionContext,
    config: AssetConfig,
    memories: Stored,
    workspace: Workspace,
) -> dg.MaterializeResult:
    with clear_failures(workspace.storage):
        settings = workspace.settings(context.partition_key)
        model, target = _counted_in(settings), Target.of(kind, settings)
        depends_on = {
            "memories": memories.version,
            "settings": settings.dataset.model_dump(mode="json"),
            "versions": versions_of("autograms-assets"),
            **_counted_by(model, target),
        }
        place = workspace.stored(f"{kind}_dataset", context.partition_key)
        return reuse_or_make(
            place,
            depends_on,
            lambda: _made(kind, memories, settings.dataset, model, target),
            request=Request.of(context, config),
        )


def _counted_in(settings: AutogramSettings) -> str | None:
    """Return the model whose tokens the budget counts, ``None`` without a budget, or where an endpoint trains it."""
    counted = settings.dataset.max_tokens_total is not None and settings.sft.backend == "huggingface"
    return settings.sft.model if counted else None


def _counted_by(model: str | None, target: Target | None) -> dict[str, Any]:
    """Return what tokens depend on: those of the budget, and those of the account for the training."""
    models = {model, target.model if target is not None else None}
    limits = {"longest row": [target.max_length, target.truncate]} if target is not None else {}
    return {"tokenizer": sorted(tokenizer_version(name) for name in models if name is not None), **limits}


def _made(
    kind: Literal["sft", "dpo"],
    memories: Stored,
    settings: DatasetSettings,
    model: str | None,
    target: Target | None,
) -> Made:
    from autograms.datasets import build_dpo, build_sft, stream_for_rows

    build: Callable[..., BuiltDataset] = build_dpo if kind == "dpo" else build_sft
    count_tokens = None
    if model is not None:
        from autograms.finetuning import token_counter

        unlimited = settings.model_copy(update={"max_tokens_total": None})
        count_tokens = token_counter(model, lambda: build(stream_for_rows(memories.path), unlimited).table, kind)
    built = build(stream_for_rows(memories.path), settings, count_tokens=count_tokens)
    table = built.table
    version = table_version(table, without=_NOT_CONTENT)
    counted: dict[str, Any] = {}
    fits = audit_verdict(None, "an endpoint trains on the rows, and counts them itself")
    if target is not None:
        counted, fits = target.audit(kind, table)
    answers = ("chosen", "rejected") if kind == "dpo" else ("completion",)
    summary = {**_summary(built, answers), **counted, **_first_rows(table, answers)}
    return Made(version, summary, (*row_verdicts(kind, table), fits), table)


def _summary(built: "BuiltDataset", answers: tuple[str, ...]) -> dict[str, Any]:
    report = built.report
    return {
        "rows": built.table.num_rows,
        "train rows": report.train,
        "validation rows": report.validation,
        "left out": sum(report.dropped.values()),
        "lengths": small_bars(counted(_lengths(built.table, answers)), "rows by length of the answer in characters"),
        "scores": small_bars(counted(_numbers(built.table["score"])), "rows by score"),
        "report": {"md": report.as_markdown()},
    }


def _first_rows(table: "pa.Table", answers: tuple[str, ...]) -> dict[str, Any]:
    rows = enumerate(table.slice(0, _SHOWN).to_pylist(), start=1)
    return {f"row {number}": {"md": _as_markdown(row, answers)} for number, row in rows}


def _lengths(table: "pa.Table", answers: tuple[str, ...]) -> list[float]:
    import pyarrow.compute as pc

    return _numbers(pc.utf8_length(table[answers[0]]))


def _numbers(column: "pa.ChunkedArray") -> list[float]:
    return [value for value in column.to_pylist() if value is not None]


def _as_markdown(row: dict[str, Any], answers: tuple[str, ...]) -> str:
    from autograms.datasets import chat_messages

    lines = [f"**{quoted(row['primitive'])}** at {code(row['place'])} ({row['split']})"]
    lines += [f"**{message['role']}:** {quoted(readable(message))}" for message in chat_messages(row["prompt"])]
    lines += [f"**{name}:** {quoted(readable(answer_message(row['kind'], row[name])))}" for name in answers]
    return "\n\n".join(lines)
