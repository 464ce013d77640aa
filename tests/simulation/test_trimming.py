"""The journal after its simulation was stored: small, and still enough to go back to the version before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograms.conversation.journal import Journal, read_journal
from autograms.conversation.record import Call, Memory
from autograms.models.base import Reply
from autograms.simulation.answers import Answers, entry_of
from autograms.simulation.trimming import keep_replaced, trim_journal


def memory(*requests: str, scenario: str = "s1", mark: str = "") -> Memory:
    """Return a conversation that asked these requests, one after the other."""
    calls = [
        Call("thought", "bot.py:1", "text", output=f"{request}{index}{mark}", model="openai/small", request=request)
        for index, request in enumerate(requests)
    ]
    return Memory(scenario=scenario, calls=calls)


def write(path: Path, *numbered: tuple[str, int]) -> None:
    journal = Journal(path)
    for request, number in numbered:
        journal.append(entry_of("s1", request, number, Reply(f"{request}{number}", "openai/small")))
    journal.close()


def known(path: Path, *memories: Memory) -> dict[str, list[str]]:
    found = Answers(memories, read_journal(path))
    return {request: [reply.text for reply in replies] for _, request, replies in found}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "calls.journal"


def test_what_is_stored_leaves_the_journal(journal: Path) -> None:
    write(journal, ("a", 0), ("a", 1), ("b", 0))
    trim_journal(journal, [memory("a", "a", "b")])
    assert not journal.exists()
    trim_journal(journal, [memory("a", "a", "b")])
    assert not journal.exists()


def test_what_only_the_journal_knows_stays(journal: Path) -> None:
    write(journal, ("a", 0), ("a", 1), ("b", 0))
    trim_journal(journal, [memory("a")])
    assert known(journal, memory("a")) == {"a": ["a0", "a1"], "b": ["b0"]}


def test_an_answer_behind_stored_ones_is_found_by_its_number(journal: Path) -> None:
    write(journal, ("a", 2))
    assert known(journal, memory("a", "a")) == {"a": ["a0", "a1", "a2"]}
    trim_journal(journal, [memory("a", "a")])
    assert known(journal, memory("a", "a")) == {"a": ["a0", "a1", "a2"]}
    trim_journal(journal, [memory("a", "a", "a")])
    assert not journal.exists()


def test_a_journal_without_numbers_is_read(journal: Path) -> None:
    write(journal, ("a", 0), ("a", 1))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        del line["number"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert known(journal) == {"a": ["a0", "a1"]}
    trim_journal(journal, [memory("a")])
    assert known(journal, memory("a")) == {"a": ["a0", "a1"]}


def test_the_version_before_is_kept_whole(journal: Path) -> None:
    before, after = memory("a", "b", "b", mark="before"), memory("a", "b")
    keep_replaced(journal, [before], [after])
    assert known(journal) == {"b": ["b1before", "b2before"]}
    once = journal.read_bytes()
    keep_replaced(journal, [before], [after])
    assert journal.read_bytes() == once
    trim_journal(journal, [after])
    assert known(journal) == {"b": ["b1before", "b2before"]}


def test_what_was_torn_is_written_again(journal: Path) -> None:
    before = memory("a", "b")
    keep_replaced(journal, [before], [])
    journal.write_bytes(journal.read_bytes()[:-20])
    keep_replaced(journal, [before], [])
    assert known(journal) == {"a": ["a0"], "b": ["b1"]}


def test_the_journal_does_not_grow_from_version_to_version(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autograms.simulation.trimming._AT_LEAST", 0)
    versions = [memory(*(f"{letter}{number}" for number in range(10))) for letter in "abcdefgh"]
    sizes = []
    for before, after in zip([[], *([version] for version in versions)], versions, strict=False):
        write(journal, *((call.request or "", 0) for call in after.calls))
        keep_replaced(journal, before, [after])
        trim_journal(journal, [after])
        sizes.append(journal.stat().st_size if journal.exists() else 0)
    assert sizes[0] == 0
    assert len(set(sizes[1:])) == 1
    assert set(known(journal)) == {f"g{number}" for number in range(10)}
