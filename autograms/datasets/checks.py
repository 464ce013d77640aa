"""Findings about built datasets: what would waste a training, or teach what nobody wanted.

What belongs here: pure functions from a table of rows to findings. What does not: acting on them (the assets' checks,
the command line). No finding quotes a row's text; it names the rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from autograms.datasets.split import TRAIN, VALIDATION

__all__ = [
    "Finding",
    "check_rows",
    "equal_pairs",
    "few_rows",
    "leaks",
    "secrets",
    "unbalanced_decisions",
]

_SHOWN = 10
FEWEST_ROWS = 160
"""Fewer training rows than this taught the embedded student next to nothing about rows that it had not seen."""

_SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an OpenAI or Anthropic key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "an AWS key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{16,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "a signed web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "a URL with a password": r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/:@]{3,}@",
    "a password or key in an assignment": (
        r"(?i)\b(password|passwd|pwd|secret|api[_-]?key|access[_-]?token)['\"]?\s*[:=]\s*['\"]?"
        r"[^\s'\"]{3,}[0-9][^\s'\"]{3,}"
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a dataset that a person should know.

    Attributes:
        check: The check's name: ``rows``, ``leakage``, ``pairs``, ``balance``, ``secrets`` or ``length``.
        severity: ``error`` where training would be pointless or its evaluation wrong, else ``warning``.
        message: What was found, and the remedy.
        rows: Ids of rows that show it, ten at the most.
        count: How many rows show it.
    """

    check: str
    severity: Literal["error", "warning"]
    message: str
    rows: tuple[str, ...] = ()
    count: int = 0


def check_rows(table: pa.Table) -> list[Finding]:
    """Return what all checks that need nothing but the rows find in an SFT or DPO table."""
    return [
        finding for check in (few_rows, leaks, equal_pairs, unbalanced_decisions, secrets) for finding in check(table)
    ]


def few_rows(table: pa.Table, *, fewest: int = FEWEST_ROWS) -> list[Finding]:
    """Find a table with no rows, no training rows, no held-out rows, or fewer training rows than ``fewest``."""
    sides = Counter(table["split"].to_pylist())
    if not sides[TRAIN]:
        text = "no row trains: simulate more conversations, or loosen the filters of the dataset's settings"
        return [Finding("rows", "error", text)]
    findings = []
    if sides[TRAIN] < fewest:
        text = f"only {sides[TRAIN]} rows train; models begin to generalise from about {fewest} rows on"
        findings.append(Finding("rows", "warning", text, count=sides[TRAIN]))
    if not sides[VALIDATION]:
        text = "no row is held out, so that nothing can be evaluated: simulate more, and more different, conversations"
        findings.append(Finding("rows", "warning", text))
    return findings


def leaks(table: pa.Table) -> list[Finding]:
    """Find conversations and texts (prompt and answer) that stand on both sides of the split."""
    sides = table["split"].to_pylist()
    held = [index for index, side in enumerate(sides) if side == VALIDATION]
    findings = []
    for what, keys in (("scenarios", table["scenario"].to_pylist()), ("texts", _text_keys(table))):
        trained = {key for key, side in zip(keys, sides, strict=True) if side == TRAIN and key}
        found = [index for index in held if keys[index] in trained]
        if found:
            text = f"{len(found)} held-out rows have {what} that train too, so that evaluation would flatter the model"
            findings.append(_finding("leakage", "error", text, table, found))
    return findings


def equal_pairs(table: pa.Table) -> list[Finding]:
    """Find pairs whose chosen answer is the rejected one; an SFT table has none."""
    if "rejected" not in table.column_names:
        return []
    pairs = zip(table["chosen"].to_pylist(), table["rejected"].to_pylist(), strict=True)
    found = [index for index, (chosen, rejected) in enumerate(pairs) if chosen == rejected]
    text = f"{len(found)} pairs reject the very answer that they prefer"
    return [_finding("pairs", "error", text, table, found)] if found else []


def unbalanced_decisions(table: pa.Table, *, share: float = 0.95, fewest: int = 20) -> list[Finding]:
    """Find decisions that have one answer in more than ``share`` of at least ``fewest`` training rows."""
    answer = "chosen" if "chosen" in table.column_names else "completion"
    answers: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    columns = [table[name].to_pylist() for name in ("kind", "split", "place", "primitive", answer)]
    for kind, split, place, primitive, text in zip(*columns, strict=True):
        if kind == "choice" and split == TRAIN:
            answers[place or "", primitive][text] += 1
    findings = []
    for (place, primitive), counts in sorted(answers.items()):
        (_, most), total = counts.most_common(1)[0], counts.total()
        if total >= fewest and most > share * total:
            where = f" at {place}" if place else ""
            text = (
                f"{primitive}{where} has the same answer in {most} of {total} training rows; "
                "a model learns to give it always: add scenarios with the other answers"
            )
            findings.append(Finding("balance", "warning", text, count=most))
    return findings


def secrets(table: pa.Table) -> list[Finding]:
    """Find rows that hold what has the shape of a key, a token or a password. Their text is not quoted."""
    found: dict[str, set[int]] = defaultdict(set)
    start = 0
    for batch in table.to_batches():
        for texts, rows in _texts(batch):
            for name, pattern in _SECRETS.items():
                hits = pc.indices_nonzero(pc.fill_null(pc.match_substring_regex(texts, pattern), False))
                found[name].update(start + row for row in rows.take(hits).to_pylist())
        start += len(batch)
    return [
        _finding("secrets", "warning", f"{len(rows)} rows hold what looks like {name}", table, sorted(rows))
        for name, rows in found.items()
        if rows
    ]


def _finding(
    check: str, severity: Literal["error", "warning"], text: str, table: pa.Table, found: list[int]
) -> Finding:
    shown = table["id"].take(pa.array(found[:_SHOWN], pa.int64())).to_pylist()
    return Finding(check, severity, f"{text} (rows {', '.join(map(str, shown))})", tuple(map(str, shown)), len(found))


def _rows(table: pa.Table, columns: list[str]) -> Iterator[dict[str, Any]]:
    for batch in table.select(columns).to_batches(max_chunksize=1000):
        yield from batch.to_pylist()


def _text_keys(table: pa.Table) -> list[bytes]:
    answer = "chosen" if "chosen" in table.column_names else "completion"
    return [_digest(str(row["prompt"]), row[answer]) for row in _rows(table, ["prompt", answer])]


def _digest(*texts: str) -> bytes:
    return blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=16).digest()


def _texts(batch: pa.RecordBatch) -> Iterable[tuple[Any, Any]]:
    """Return the text columns of a batch, each with the rows that its values stand in."""
    prompt: Any = batch.column("prompt")
    messages, parents = prompt.flatten(), pc.list_parent_indices(prompt)
    for name in ("content", "extra"):
        yield messages.field(name), parents
    own = pa.array(range(len(batch)), pa.int64())
    for name in ("completion", "chosen", "rejected"):
        if name in batch.schema.names:
            yield batch.column(name), own
