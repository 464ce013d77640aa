import subprocess
import sys

import pytest

from autograms.conversation.journal import Journal, gather_journal, part_journal, read_journal


def write(path, *numbers):
    journal = Journal(path)
    for number in numbers:
        journal.append({"n": number})
    journal.close()


def numbers(path):
    return [entry["n"] for entry in read_journal(path)]


@pytest.fixture
def journal(tmp_path):
    """A journal with a line of its own, and two parts with lines."""
    path = tmp_path / "deep" / "calls.journal"
    write(path, 1)
    first, second = part_journal(path, 2)
    write(first, 2, 3)
    write(second, 4)
    return path


def test_a_journal_is_read_with_its_parts(journal):
    assert numbers(journal) == [1, 2, 3, 4]
    assert numbers(journal.with_name("other")) == []


def test_parts_are_gathered(journal):
    gather_journal(journal)
    assert numbers(journal) == [1, 2, 3, 4]
    assert [path.name for path in journal.parent.iterdir()] == ["calls.journal"]
    write(journal, 5)
    assert numbers(journal) == [1, 2, 3, 4, 5]


def test_parts_are_gathered_without_a_journal(tmp_path):
    path = tmp_path / "calls.journal"
    write(part_journal(path, 2)[1], 7)
    gather_journal(path)
    assert numbers(path) == [7]


def test_empty_parts_leave_nothing(tmp_path):
    path = tmp_path / "calls.journal"
    part_journal(path, 3)
    gather_journal(path)
    assert list(tmp_path.iterdir()) == []


def test_torn_lines_are_dropped(journal):
    for path in journal.parent.iterdir():
        with open(path, "ab") as file:
            file.write(b'{"n": 9')
    gather_journal(journal)
    assert numbers(journal) == [1, 2, 3, 4]


def test_a_kill_between_gathering_and_removing_doubles_nothing(journal):
    kept = {path: path.read_bytes() for path in journal.parent.glob("*.part-*")}
    gather_journal(journal)
    for path, content in kept.items():
        path.write_bytes(content)
    assert numbers(journal) == [1, 2, 3, 4]
    write(part_journal(journal, 1)[0], 5)
    gather_journal(journal)
    assert numbers(journal) == [1, 2, 3, 4, 5]
    assert [path.name for path in journal.parent.iterdir()] == ["calls.journal"]


def test_a_line_that_says_nothing_sensible_is_no_harm(tmp_path):
    path = tmp_path / "calls.journal"
    path.write_text('{"gathered": 3}\n{"n": 1}\n[1]\nnull\n')
    assert numbers(path) == [1]


SMALL_DISK = """
import resource, sys
from pathlib import Path
from autograms.conversation.journal import Journal
from autograms.errors import StorageError

resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
journal = Journal(Path(sys.argv[1]))
for number in range(4):
    try:
        journal.append({"n": number, "text": "x" * 40})
        print(number)
    except StorageError as error:
        print("refused" if "cannot be written" in str(error) and sys.argv[1] in str(error) else error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append({"n": 9})
"""


def test_what_could_not_be_written_whole_is_refused(tmp_path):
    path = tmp_path / "calls.journal"
    done = subprocess.run([sys.executable, "-c", SMALL_DISK, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "refused", "refused"]
    assert numbers(path) == [0, 1, 9]
