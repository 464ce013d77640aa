"""What of a journal is still needed once its simulation is stored.

The stored conversations hold their answers themselves. The journal keeps those of the version before, so that going
back to it is free, and not more of them than the conversations have: it does not grow from run to run. What does not
belong here: the file (``conversation.journal``), and how answers are found (``ledger``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from autograms.conversation.atomic import replacing
from autograms.conversation.journal import Journal, gather_journal, read_journal
from autograms.conversation.record import Memory
from autograms.simulation.answers import Answers, entry_of

__all__ = ["keep_replaced", "trim_journal"]

_AT_LEAST = 1000
"""Entries that may stay however few conversations there are."""

_Key = tuple[str, str]
"""A conversation and a request."""


def keep_replaced(journal: Path, before: Iterable[Memory], after: Iterable[Memory]) -> None:
    """Write what only the earlier conversations know to the journal, before they are replaced.

    Killed at any moment, and called again, it writes what is missing and nothing twice.

    Args:
        journal: The journal; nothing else writes to it meanwhile.
        before: The conversations that are stored.
        after: Those that will be stored in their place.
    """
    gather_journal(journal)
    known, written = _counts(after), _numbers(journal)
    file = Journal(journal)
    try:
        for scenario, request, replies in Answers(before):
            if len(replies) <= known.get((scenario, request), 0):
                continue
            there = written.get((scenario, request), set())
            for number, reply in enumerate(replies):
                if number not in there:
                    file.append(entry_of(scenario, request, number, reply))
    finally:
        file.close()


def trim_journal(journal: Path, stored: Iterable[Memory]) -> None:
    """Leave out of a journal what the stored conversations know, and the oldest of what they do not.

    Args:
        journal: The journal; nothing else writes to it meanwhile.
        stored: The conversations that are stored now.
    """
    gather_journal(journal)
    known, written = _counts(stored), _numbers(journal)
    needed = {key for key, numbers in written.items() if max(numbers) >= known.get(key, 0)}
    left = [entry for entry in _entries(journal) if (entry["scenario"], entry["request"]) in needed]
    left = left[-max(_AT_LEAST, sum(known.values())) :]
    if not left:
        journal.unlink(missing_ok=True)
        return
    with replacing(journal) as file:
        file.writelines(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in left)


def _counts(memories: Iterable[Memory]) -> dict[_Key, int]:
    return {(scenario, request): len(replies) for scenario, request, replies in Answers(memories)}


def _numbers(journal: Path) -> dict[_Key, set[int]]:
    found: dict[_Key, set[int]] = {}
    for entry in _entries(journal):
        numbers = found.setdefault((entry["scenario"], entry["request"]), set())
        numbers.add(entry.get("number", len(numbers)))
    return found


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    for entry in read_journal(journal):
        if "scenario" in entry and "request" in entry:
            yield entry
