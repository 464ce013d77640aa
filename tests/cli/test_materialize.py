"""``autograms materialize`` in a new project: what it says of calls, of what is missing, and of what fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_one_message

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_calls_are_counted_and_what_is_missing_names_the_remedy(run: Run, new_project: Path) -> None:
    ended = run("materialize", "greeter", "--select", "sft_dataset")
    assert_one_message(ended, "conversation_memories has nothing stored", "--select '*sft_dataset'")
    assert "done in" not in ended.out
    ended = run("materialize", "greeter", "--select", "*sft_dataset")
    assert ended.status == 0, ended.err
    told = next(line for line in ended.out.splitlines() if " conversations in " in line)
    assert told.startswith("conversation_memories ")
    assert " 0 failed" in told
    assert " answered by supervisors" in told
    assert ended.out.splitlines()[-1].startswith("done in ")


def test_why_every_conversation_failed_is_told(run: Run, new_project: Path) -> None:
    program = new_project / "chatbots/greeter.py"
    program.write_text(program.read_text().replace("    while True:", "    missing_name()\n    while True:"))
    line = program.read_text().splitlines().index("    missing_name()") + 1
    ended = run("materialize", "greeter", "--select", "*sft_dataset")
    why = f"failed: NameError of the chatbot at {program}:{line}: name 'missing_name' is not defined"
    assert_one_message(ended, "conversation_memories", "some_completed", why)
    assert "missing_name" not in "".join(path.read_text() for path in new_project.rglob("*.err"))
    assert why in run("show", "greeter").out
