"""The checks of the assets: their names, what failing means, and what they found.

A check runs in its asset's own step, for the same partition, and its finding is kept in the asset's stamp: asked again
with nothing changed, the finding is told again without reading the data. Blocking ones keep the steps after it from
running where going on would waste money. What does not belong here: the tests on rows (``autograms.datasets.checks``).
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from autograms.conversation.failures import alike, most_frequent
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.stamps import Verdict

if TYPE_CHECKING:
    from autograms.conversation.record import Memory
    from autograms.finetuning import TokenAudit

__all__ = [
    "audit_verdict",
    "dpo_checks",
    "evaluation_checks",
    "evaluation_verdicts",
    "memory_checks",
    "memory_verdicts",
    "row_verdicts",
    "sft_checks",
]

_MOST_FAILURES = 0.05
_MOST_LEFT_OUT = 0.1


def _check(name: str, asset: str, description: str, *, blocking: bool = False) -> dg.AssetCheckSpec:
    """Return a check of one asset, for each of its partitions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitioned checks are a preview, and measured to work
        return dg.AssetCheckSpec(
            name, asset=asset, description=description, blocking=blocking, partitions_def=AUTOGRAMS
        )


def memory_checks() -> list[dg.AssetCheckSpec]:
    """Return the checks of ``conversation_memories``."""
    asset = "conversation_memories"
    return [
        _check("some_completed", asset, "At least one conversation was completed.", blocking=True),
        _check("few_failed", asset, f"At most {_MOST_FAILURES:.0%} of the conversations failed."),
    ]


def memory_verdicts(memories: "Sequence[Memory]") -> tuple[Verdict, ...]:
    """Return what the checks of ``conversation_memories`` find."""
    failed = [memory for memory in memories if memory.status == "failed"]
    completed = sum(memory.status == "completed" for memory in memories)
    told = f"{len(failed)} of {len(memories)} conversations failed"
    if failed:
        listed = most_frequent(alike(failed), quoting=False)  # what they said may quote prompts and answers
        told += f"; most often: {listed}. The column error_message of the table has what they said"
    finished = f"{completed} of {len(memories)} conversations were completed"
    return (
        Verdict("some_completed", completed > 0, finished if completed or not failed else f"{finished}: {told}"),
        Verdict("few_failed", len(failed) <= _MOST_FAILURES * len(memories), told, error=False),
    )


def sft_checks() -> list[dg.AssetCheckSpec]:
    """Return the checks of ``sft_dataset``."""
    asset = "sft_dataset"
    return [
        _check("has_rows", asset, "There are rows to train on.", blocking=True),
        _check("enough_rows", asset, "There are enough rows for a model to generalise."),
        _check("no_leakage", asset, "No text stands on both sides of the split.", blocking=True),
        _check("balanced_decisions", asset, "No decision has nearly always the same answer."),
        _check("no_secrets", asset, "No row holds what looks like a key or a password."),
        _rows_fit(asset),
    ]


def _rows_fit(asset: str) -> dg.AssetCheckSpec:
    told = f"More than {_MOST_LEFT_OUT:.0%} that do not stop the run before anything is trained."
    return _check(
        "rows_fit", asset, f"Every row fits into the longest input of the model that it trains. {told}", blocking=True
    )


def dpo_checks() -> list[dg.AssetCheckSpec]:
    """Return the checks of ``dpo_dataset``. Having no pairs is a warning: an autogram need not reject answers."""
    asset = "dpo_dataset"
    return [
        _check("has_pairs", asset, "There are pairs to train on."),
        _check(
            "chosen_differs", asset, "In every pair the chosen answer is another one than the rejected.", blocking=True
        ),
        _check("no_leakage", asset, "No text stands on both sides of the split.", blocking=True),
        _check("no_secrets", asset, "No pair holds what looks like a key or a password."),
        _rows_fit(asset),
    ]


def evaluation_checks() -> list[dg.AssetCheckSpec]:
    """Return the checks of ``evaluation``."""
    return [_check("better_than_base", "evaluation", "The finetuned model is better than its base, beyond chance.")]


def row_verdicts(kind: str, table: pa.Table) -> tuple[Verdict, ...]:
    """Return what the checks of ``sft_dataset`` or ``dpo_dataset`` find."""
    from autograms.datasets import check_rows

    findings = check_rows(table)

    def verdict(name: str, tests: str, *, severity: str | None = None, error: bool = True) -> Verdict:
        found = [item for item in findings if item.check == tests and severity in (None, item.severity)]
        return Verdict(name, not found, "; ".join(item.message for item in found) or "nothing found", error)

    leakage, secrets = verdict("no_leakage", "leakage"), verdict("no_secrets", "secrets")
    if kind == "dpo":
        has_pairs = verdict("has_pairs", "rows", severity="error", error=False)
        return has_pairs, verdict("chosen_differs", "pairs"), leakage, secrets
    return (
        verdict("has_rows", "rows", severity="error"),
        verdict("enough_rows", "rows", severity="warning", error=False),
        leakage,
        verdict("balanced_decisions", "balance", error=False),
        secrets,
    )


def audit_verdict(audit: "TokenAudit | None", told: str, *, passed: bool = True) -> Verdict:
    """Return what ``rows_fit`` finds: it stops the run where so many rows are left out that training wastes money.

    Args:
        audit: The token audit; ``None`` where nothing was counted.
        told: What was found, in a sentence.
        passed: Whether all is well where nothing was counted.
    """
    if audit is None:
        return Verdict("rows_fit", passed, told, error=False)
    left_out = audit.rows - audit.trained
    if left_out > _MOST_LEFT_OUT * audit.rows:
        told += "; raise max_length in the recipe, set truncate = true there, or leave such calls out of the dataset"
    return Verdict("rows_fit", not (left_out or audit.truncated), told, error=left_out > _MOST_LEFT_OUT * audit.rows)


def evaluation_verdicts(metrics: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Return what the check of ``evaluation`` finds."""
    verdict = metrics["verdict"]
    return (Verdict("better_than_base", verdict["better"], verdict["statement"], error=False),)
