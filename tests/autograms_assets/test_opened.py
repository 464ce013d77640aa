"""Data files: part of what results are made from where the settings name them, and told of where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograms_assets.fingerprints import read_program
from autograms_assets.opened import unnamed_files
from autograms_assets.workspace import Sources
from tests.autograms_assets.chains import TO_DATASETS, Chain
from tests.autograms_assets.projects import SETTINGS, ScratchProject

CHATBOT = """
import json
from pathlib import Path

from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply_instruction, step
from autograms.supervisors import SupervisorReturn

DATA = Path(__file__).parent.parent / "data" / "prices.json"


def price(item):
    return json.loads(DATA.read_text()).get(item, "unknown")


def priced(instruction):
    item = extract_last_user_reply().rstrip(".").split()[-1]
    return SupervisorReturn(f"The {item}: {step(price, item)}", rejected_output="no idea")


@autograms_function()
def chatbot():
    while True:
        reply_instruction("Tell the price.", supervisor=priced)
"""
ALL = set(TO_DATASETS)


@pytest.fixture
def priced(chain: Chain, project: ScratchProject) -> Chain:
    project.add("desk", CHATBOT)
    project.write("data/prices.json", '{"lamp": "3 dollars"}')
    return chain


def name_the_file(project: ScratchProject, pattern: str = "data/*.json") -> None:
    project.write("autograms.toml", SETTINGS.replace("num_turns = 1", f'num_turns = 1\nfiles = ["{pattern}"]'))


def test_what_a_named_file_holds_counts(priced: Chain, project: ScratchProject) -> None:
    name_the_file(project)
    first = priced.run()
    assert (first.success, first.failures) == (True, {})
    assert "files that are not named" not in first.metadata["autogram"]
    assert "`data/prices.json` (data)" in first.metadata["autogram"]["files"]
    assert priced.run().reused == ALL
    project.write("data/prices.json", '{"lamp": "4 dollars"}')
    again = priced.run()
    assert again.made == ALL - {"scenarios"}
    assert "4 dollars" in again.metadata["conversation_memories"]["sample 1"]


def test_a_file_that_is_not_named_is_told_of(priced: Chain, project: ScratchProject) -> None:
    told = priced.run("autogram").metadata["autogram"]["files that are not named"]
    assert told.startswith("data/prices.json: a change of it makes nothing again; name it in the autogram's files")
    again = priced.run("autogram")
    assert again.metadata["autogram"]["reused"]
    assert again.metadata["autogram"]["files that are not named"] == told


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('open("prices.json")', ["chatbots/prices.json"]),
        ('open("data/prices.json")', ["data/prices.json"]),
        ('Path("data") / "prices.json"', ["data/prices.json"]),
        ('Path("data") / name', []),
        ('open("_wording.py")', []),
        ('open("/etc/hostname")', []),
        ('"\\0" + "x" * 3 + "a" / "b"', []),
    ],
)
def test_which_literals_name_a_file(chain: Chain, project: ScratchProject, code: str, found: list[str]) -> None:
    project.write("chatbots/desk.py", f"def chatbot():\n    {code}\n")
    project.write("chatbots/prices.json", "{}")
    project.write("data/prices.json", "{}")
    told = chain.run("autogram").metadata["autogram"].get("files that are not named", ":")
    assert told.partition(":")[0].split(", ") == (found or [""])


def test_a_named_file_that_is_missing_is_one_clear_failure(priced: Chain, project: ScratchProject) -> None:
    name_the_file(project, "data/price.json")
    failure = priced.run().failures["autogram"]
    assert "autograms.toml: files names 'data/price.json', and no file in" in failure


def test_a_byte_order_mark_is_no_part_of_a_program(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text("{}")
    source = 'def chatbot():\n    return open("prices.json")\n'
    (tmp_path / "plain.py").write_text(source)
    (tmp_path / "marked.py").write_text(source, encoding="utf-8-sig")
    plain, marked = (read_program(tmp_path / name, root=tmp_path) for name in ("plain.py", "marked.py"))
    assert (marked.files[0].text, marked.digest) == (source, plain.digest)
    assert unnamed_files(Sources(marked, None, {}), tmp_path) == {"prices.json": "marked.py"}
