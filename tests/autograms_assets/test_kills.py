"""A materialization that is killed between any two of the steps that store conversations: nothing paid is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.autograms_assets.chains import Chain
from tests.autograms_assets.projects import ScratchProject
from tests.autograms_assets.test_paying_once import CALLS, ITEMS, paid, paying
from tests.endpoint import Endpoint

__all__ = ["paying"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

KILLED = """
import os, signal, sys
from pathlib import Path

import dagster as dg

from autograms.conversation import atomic
from autograms.conversation.journal import Journal
from autograms.simulation import trimming
from autograms_assets.stored import Stored
from tests.autograms_assets.chains import Chain
from tests.autograms_assets.projects import ScratchProject

where, root, *assets = sys.argv[1:]
replace, keep_replaced, trim_journal = os.replace, trimming.keep_replaced, trimming.trim_journal


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_replacing(name):
    def dying(source, target):
        die() if Path(target).name == name else replace(source, target)

    atomic.os.replace = dying


def keep_one_and_die(journal, *memories):
    append, size = Journal.append, journal.stat().st_size
    Journal.append = lambda self, entry: die() if journal.stat().st_size > size else append(self, entry)
    keep_replaced(journal, *memories)


def replaced_and_dying(*arguments):
    trim_journal(*arguments)
    die()


with dg.DagsterInstance.ephemeral() as instance:
    chain = Chain(ScratchProject(Path(root)), instance)
    if where == "before the answers are kept":
        trimming.keep_replaced = die
    elif where == "amid keeping them":
        trimming.keep_replaced = keep_one_and_die
    elif where == "before the table is replaced":
        die_replacing("desk.parquet")
    elif where == "before the journal is trimmed":
        trimming.trim_journal = die
    elif where == "before the trimmed journal is there":
        die_replacing("calls.journal")
    elif where == "after the journal was trimmed":
        trimming.trim_journal = replaced_and_dying
    chain.run(*assets)
    print("not killed")
"""
PLACES = (
    "before the answers are kept",
    "amid keeping them",
    "before the table is replaced",
    "before the journal is trimmed",
    "before the trimmed journal is there",
    "after the journal was trimmed",
)


def killed(chain: Chain, where: str, *assets: str) -> None:
    command = [sys.executable, "-c", KILLED, where, str(chain.project.root), *assets]
    folder = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, (ended.stdout, ended.stderr[-2000:])


@pytest.mark.parametrize("where", PLACES)
def test_a_kill_loses_nothing_that_was_paid(
    paying: Chain, endpoint: Endpoint, project: ScratchProject, where: str
) -> None:
    first, second = "Answer the customer.", "Answer briefly."
    assert paid(paying, endpoint) == CALLS * len(ITEMS)
    project.edit("chatbots/desk.py", first, second)
    assert paying.run("autogram", "scenarios").success
    before = endpoint.stats()["requests"]
    killed(paying, where, "conversation_memories")
    assert endpoint.stats()["requests"] - before == len(ITEMS)
    assert paid(paying, endpoint) == 0
    for old, new in ((second, first), (first, second), (second, first)):
        project.edit("chatbots/desk.py", old, new)
        assert paid(paying, endpoint) == 0


def test_the_journal_holds_what_only_the_version_before_knew(
    paying: Chain, endpoint: Endpoint, project: ScratchProject
) -> None:
    journal = paying.storage / ".work" / "conversation_memories" / "desk" / "calls.journal"
    paid(paying, endpoint)
    assert not journal.exists()
    versions = [f"Answer in {number} words." for number in range(3, 7)]
    lengths = []
    for old, new in zip(["Answer the customer.", *versions], versions, strict=False):
        project.edit("chatbots/desk.py", old, new)
        assert paid(paying, endpoint) == len(ITEMS)
        lengths.append(len(journal.read_text().splitlines()))
    assert lengths == [len(ITEMS) * number for number in range(1, 5)]  # few, so all of them stay
