import json
import os
import re
import time
from pathlib import Path

import pytest

from autograms.errors import SettingsError
from dagster_project.watching import Look, Memo, look
from tests.autograms_assets.projects import CHATBOT, SETTINGS, ScratchProject, make_project
from tests.dagster_project.conftest import Looked


def see(project: ScratchProject, memo: Memo | None = None, *, now: float | None = None) -> Look:
    """Look once; what is remembered goes through its text, as the sensor's cursor does."""
    text = memo.to_json() if memo else None
    return look(project.root, Memo.from_json(text), now=time.time() if now is None else now)


def changed(found: Look) -> list[str]:
    return [item.name for item in found.changed]


def test_new_autograms_run_once(project: ScratchProject) -> None:
    first = see(project)
    assert (changed(first), first.names) == (["desk"], ["desk"])
    assert changed(see(project, first.memo)) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("chatbots/desk.py", "Answer formally.", "Answer briefly."),
        ("chatbots/_wording.py", "Dear", "Esteemed"),
        ("userbots/customer.py", "question", "complaint"),
        ("scenarios/items.json", "lamp", "table"),
        ("autograms.toml", "num_turns = 1", "num_turns = 2"),
    ],
)
def test_an_edit_runs(project: ScratchProject, file: str, old: str, new: str) -> None:
    memo = see(project).memo
    project.edit(file, old, new)
    assert changed(see(project, memo)) == ["desk"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("chatbots/desk.py", "def formal", "# a comment\ndef formal"),
        ("autograms.toml", "num_turns = 1", "num_turns   =   1  # a comment"),
        ("chatbots/desk.py", "", ""),
    ],
)
def test_what_changes_nothing_does_not_run(project: ScratchProject, file: str, old: str, new: str) -> None:
    memo = see(project).memo
    project.edit(file, old, new)
    assert changed(see(project, memo)) == []


def test_a_file_that_is_no_program_holds_back_nobody(project: ScratchProject) -> None:
    project.add("prices", "PRICE = 1\n")
    found = see(project)
    assert (changed(found), found.names) == (["desk"], ["desk"])
    assert "prices.py defines no chatbot()" in found.problems["prices"]
    project.edit("chatbots/desk.py", "from _wording", "import prices\nfrom _wording")
    after = see(project, found.memo)
    assert (changed(after), after.problems) == (["desk"], {})
    project.write("chatbots/prices.py", "PRICE = 2\n")
    assert changed(see(project, after.memo)) == ["desk"]


def test_only_the_edited_one_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path, *(f"desk{number}" for number in range(10)))
    memo = see(project).memo
    project.edit("chatbots/desk3.py", "Answer formally.", "Answer briefly.")
    assert changed(see(project, memo)) == ["desk3"]


def test_a_shared_module_runs_those_that_import_it(tmp_path: Path) -> None:
    project = make_project(tmp_path, "one", "two")
    project.add("alone", CHATBOT.replace("from _wording import GREETING", 'GREETING = "Hello"'))
    memo = see(project).memo
    project.edit("chatbots/_wording.py", "Dear", "Esteemed")
    assert changed(see(project, memo)) == ["one", "two"]


def test_settings_of_one_run_that_one(tmp_path: Path) -> None:
    project = make_project(tmp_path, "one", "two")
    memo = see(project).memo
    project.write("autograms.toml", SETTINGS + "\n[autograms.two.dpo]\nbeta = 0.3\n")
    assert changed(see(project, memo)) == ["two"]


def test_ten_edits_at_once_give_ten_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path, *(f"desk{number}" for number in range(10)))
    memo = see(project).memo
    for number in range(10):
        project.edit(f"chatbots/desk{number}.py", "Answer formally.", f"Answer {number}.")
    assert len(changed(see(project, memo))) == 10


def test_going_back_is_a_change_of_its_own(project: ScratchProject) -> None:
    looks = [see(project)]
    for old, new in (("formally", "briefly"), ("briefly", "formally")):
        project.edit("chatbots/desk.py", old, new)
        looks.append(see(project, looks[-1].memo))
    generations = [item.generation for found in looks for item in found.changed]
    assert generations == [1, 2, 3]
    assert looks[0].changed[0].digest == looks[2].changed[0].digest


def test_a_renamed_file_is_one_less_and_one_more(project: ScratchProject) -> None:
    memo = see(project).memo
    (project.root / "chatbots/desk.py").rename(project.root / "chatbots/counter.py")
    found = see(project, memo)
    assert (found.names, changed(found)) == (["counter"], ["counter"])


def test_a_file_that_comes_back_has_a_new_generation(project: ScratchProject) -> None:
    first = see(project)
    project.remove("chatbots/desk.py")
    gone = see(project, first.memo)
    assert gone.names == []
    project.add("desk")
    assert [item.generation for item in see(project, gone.memo).changed] == [2]


def test_a_file_being_written_is_left_alone_until_it_settles(project: ScratchProject) -> None:
    memo = see(project).memo
    project.write("chatbots/desk.py", CHATBOT[: len(CHATBOT) // 2], age=0)
    half = see(project, memo)
    assert (changed(half), half.waiting, half.problems) == ([], ["desk"], {})
    project.write("chatbots/desk.py", CHATBOT.replace("formally", "briefly"), age=0)
    still = see(project, half.memo)
    assert still.waiting == ["desk"]
    assert changed(see(project, still.memo, now=time.time() + 60)) == ["desk"]


def test_a_file_that_two_looks_found_alike_is_settled(project: ScratchProject) -> None:
    memo = see(project).memo
    project.edit("chatbots/desk.py", "formally", "briefly", age=-30)  # a clock that is ahead
    waiting = see(project, memo)
    assert waiting.waiting == ["desk"]
    assert changed(see(project, waiting.memo)) == ["desk"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("chatbots/desk.py", "def chatbot(:\n", r"desk\.py:1: invalid syntax"),
        ("chatbots/_wording.py", "GREETING = (", r"_wording\.py:1: "),
        ("userbots/customer.py", "def", r"customer\.py:1: "),
        ("scenarios/items.json", "[{", r"items\.json is not valid JSON"),
        ("autograms.toml", '[autograms.desk]\nuserbott = "x"', "unknown key 'userbott'; did you mean 'userbot'"),
        ("autograms.toml", '[autograms.desk]\nuserbot = "nobody"', r"nobody\.py, which does not exist"),
    ],
)
def test_a_broken_file_is_told_once_and_mended_later(
    project: ScratchProject, file: str, text: str, message: str
) -> None:
    before = (project.root / file).read_text()
    memo = see(project).memo
    project.write(file, text)
    broken = see(project, memo)
    assert (changed(broken), broken.new_problems, broken.names) == ([], ["desk"], ["desk"])
    assert re.search(message, broken.problems["desk"])
    later = see(project, broken.memo)
    assert (later.new_problems, list(later.problems)) == ([], ["desk"])
    project.write(file, before)
    mended = see(project, later.memo)
    assert (changed(mended), mended.problems) == ([], {})


def test_a_broken_file_holds_nobody_back(tmp_path: Path) -> None:
    project = make_project(tmp_path, "one", "two")
    project.add("broken", "def chatbot(:")
    found = see(project)
    assert (changed(found), found.names, list(found.problems)) == (["one", "two"], ["one", "two"], ["broken"])


def test_a_broken_new_import_is_watched(project: ScratchProject) -> None:
    memo = see(project).memo
    project.write("chatbots/_extra.py", "x = (")
    project.edit("chatbots/desk.py", "from _wording", "import _extra\nfrom _wording")
    broken = see(project, memo)
    assert list(broken.problems) == ["desk"]
    project.write("chatbots/_extra.py", "x = 1")
    assert changed(see(project, broken.memo)) == ["desk"]


def test_a_module_that_appears_later_counts(project: ScratchProject) -> None:
    project.edit("chatbots/desk.py", "from _wording", "import _later\nfrom _wording")
    memo = see(project).memo
    project.write("chatbots/_later.py", "x = 1")
    assert changed(see(project, memo)) == ["desk"]


def test_a_name_that_cannot_be_a_partition_is_told(project: ScratchProject) -> None:
    project.add("a,b")
    found = see(project)
    assert found.names == ["desk"]
    assert "cannot be a partition" in found.problems["a,b"]


def test_broken_settings_are_an_error(project: ScratchProject) -> None:
    project.write("autograms.toml", "[defaults")
    with pytest.raises(SettingsError, match="not valid TOML"):
        see(project)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"format": 99}', '{"format": 1, "autograms": 3}'])
def test_a_memo_that_cannot_be_read_is_empty(text: str | None) -> None:
    assert Memo.from_json(text) == Memo()


def test_five_hundred_autograms_that_did_not_change_are_not_opened(tmp_path: Path, looked: Looked) -> None:
    project = make_project(tmp_path, *(f"desk{number}" for number in range(500)))
    memo = see(project).memo
    assert len(memo.to_json()) < 500_000
    assert len(looked.opened_in(tmp_path)) > 500
    looked.opened.clear()
    looked.stats = 0
    assert changed(see(project, memo)) == []
    assert looked.opened_in(tmp_path) == ["autograms.toml"]
    assert looked.stats < 5 * 500
    project.edit("autograms.toml", "max_steps = 2", "max_steps = 3")
    assert len(changed(see(project, memo))) == 500


def test_the_memo_is_plain_json(project: ScratchProject) -> None:
    data = json.loads(see(project).memo.to_json())
    assert set(data["autograms"]) == {"desk"}
    assert all(not Path(name).is_absolute() for name in data["stats"])


def settle(project: ScratchProject) -> None:
    """Let the data folder have changed a minute ago, and not now."""
    os.utime(project.root / "data", (time.time() - 60, time.time() - 60))


@pytest.fixture
def with_data(project: ScratchProject) -> ScratchProject:
    project.write("data/prices.json", "{}")
    settle(project)
    project.edit("autograms.toml", "num_turns = 1", 'num_turns = 1\nfiles = ["data/*.json"]')
    return project


@pytest.mark.parametrize("file", ["data/prices.json", "data/new.json"])
def test_a_data_file_that_changes_or_comes_runs(with_data: ScratchProject, file: str) -> None:
    memo = see(with_data).memo
    assert changed(see(with_data, memo)) == []
    with_data.write(file, '{"lamp": 3}')
    settle(with_data)
    again = see(with_data, memo)
    assert changed(again) == ["desk"]
    assert changed(see(with_data, again.memo)) == []


def test_a_data_file_that_is_not_named_runs_nothing(with_data: ScratchProject) -> None:
    memo = see(with_data).memo
    with_data.write("data/notes.txt", "x")
    assert changed(see(with_data, memo)) == []


def test_a_missing_data_file_is_a_problem_until_it_is_there(with_data: ScratchProject) -> None:
    memo = see(with_data).memo
    with_data.remove("data/prices.json")
    settle(with_data)
    found = see(with_data, memo)
    assert changed(found) == []
    assert "files names 'data/*.json', and no file" in found.problems["desk"]
    with_data.write("data/prices.json", '{"lamp": 4}')
    settle(with_data)
    assert changed(see(with_data, found.memo)) == ["desk"]
