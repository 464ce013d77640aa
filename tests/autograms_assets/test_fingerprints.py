from pathlib import Path

import pyarrow as pa
import pytest

from autograms.errors import ProgramFileError
from autograms_assets.fingerprints import (
    combine,
    local_files,
    memories_version,
    read_program,
    table_version,
    versions_of,
)
from tests.memories import desk_memory

SOURCE = 'import helper\n\n\ndef chatbot():\n    """Greet."""\n    return helper.greet("you")\n'
HELPER = 'def greet(name):\n    return f"Hello {name}"\n'


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "chatbots" / "bot.py"


def digest(root: Path, files: dict[str, str]) -> str:
    return read_program(write(root, files), root=root).digest


@pytest.fixture
def before(tmp_path: Path) -> str:
    return digest(tmp_path, {"chatbots/bot.py": SOURCE, "chatbots/helper.py": HELPER})


@pytest.mark.parametrize(
    "edited",
    [
        "# a comment\n" + SOURCE,
        SOURCE.replace("\n\n\n", "\n\n\n\n\n"),
        SOURCE.replace('helper.greet("you")', "helper.greet( 'you' )  # politely"),
    ],
)
def test_comments_and_layout_do_not_count(tmp_path: Path, before: str, edited: str) -> None:
    assert digest(tmp_path, {"chatbots/bot.py": edited}) == before


@pytest.mark.parametrize("edit", [("you", "them"), ("Greet.", "Greet!"), ("import helper", "import helper, json")])
def test_code_and_docstrings_count(tmp_path: Path, before: str, edit: tuple[str, str]) -> None:
    assert digest(tmp_path, {"chatbots/bot.py": SOURCE.replace(*edit)}) != before


def test_imported_modules_count(tmp_path: Path, before: str) -> None:
    assert digest(tmp_path, {"chatbots/helper.py": HELPER.replace("Hello", "Good day")}) != before


def test_other_files_do_not_count(tmp_path: Path, before: str) -> None:
    assert digest(tmp_path, {"chatbots/other.py": "x = 1", "chatbots/bot.py": SOURCE}) == before


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import tools.texts", {"tools/__init__.py", "tools/texts.py"}),
        ("from tools import texts", {"tools/__init__.py", "tools/texts.py"}),
        ("from tools.texts import NAME", {"tools/__init__.py", "tools/texts.py"}),
        ("from . import near", {"near.py"}),
        ("from .near import NAME", {"near.py"}),
        ("def chatbot():\n    from near import NAME", {"near.py"}),
        ("import json, sys, dagster", set()),
        ("import missing", set()),
    ],
)
def test_finds_imports_of_every_form(tmp_path: Path, statement: str, found: set[str]) -> None:
    files = {"tools/__init__.py": "", "tools/texts.py": "NAME = 1", "near.py": "NAME = 1"}
    entry = write(tmp_path, {f"chatbots/{name}": text for name, text in files.items()} | {"chatbots/bot.py": statement})
    names = {path.relative_to(tmp_path / "chatbots").as_posix() for path in local_files(entry, root=tmp_path)}
    assert names == {"bot.py", *found}


def test_follows_imports_of_imports_and_circles(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        {
            "chatbots/bot.py": "import tools.one",
            "chatbots/tools/__init__.py": "",
            "chatbots/tools/one.py": "from ..shared import x\nfrom . import two",
            "chatbots/tools/two.py": "from .one import y",
            "chatbots/shared.py": "x = 1",
        },
    )
    assert len(local_files(entry, root=tmp_path)) == 5


def test_looks_in_the_project_too(tmp_path: Path) -> None:
    entry = write(tmp_path, {"chatbots/bot.py": "import shared", "shared.py": ""})
    assert local_files(entry, root=tmp_path) == [entry, tmp_path / "shared.py"]


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    entry = write(tmp_path, {"chatbots/bot.py": "import helper", "chatbots/helper.py": "x = 1\ny = ("})
    with pytest.raises(ProgramFileError, match=r"helper\.py:2: .*must parse"):
        read_program(entry, root=tmp_path)


def test_a_missing_file_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ProgramFileError, match=r"bot\.py cannot be read .*expected a Python file"):
        read_program(tmp_path / "bot.py", root=tmp_path)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"x = 1\x00"])
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bot.py").write_bytes(data)
    with pytest.raises(ProgramFileError, match=r"bot\.py"):
        read_program(tmp_path / "bot.py", root=tmp_path)


def test_order_does_not_count() -> None:
    assert combine({"a": 1, "b": [2]}) == combine({"b": [2], "a": 1}) != combine({"a": 1, "b": [3]})


TABLE = pa.table({"id": [1, 2, None], "text": ["a", None, "c"], "parts": [[{"r": "x"}], [], None]})


def test_a_table_is_known_by_its_content() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    assert table_version(chunked) == table_version(TABLE.replace_schema_metadata({"a": "b"})) == table_version(TABLE)


@pytest.mark.parametrize(
    "other",
    [TABLE.slice(1), TABLE.rename_columns(["id", "text", "other"]), TABLE.take([1, 0, 2]), TABLE.select(["id"])],
)
def test_another_content_is_another_version(other: pa.Table) -> None:
    assert table_version(other) != table_version(TABLE)


def test_left_out_columns_do_not_count() -> None:
    priced = TABLE.append_column("cost", pa.array([0.1, 0.2, 0.3]))
    assert table_version(priced, without=["cost"]) == table_version(TABLE)


def test_times_and_prices_of_a_conversation_do_not_count() -> None:
    memory, again = desk_memory(), desk_memory()
    for call in again.calls:
        call.milliseconds, call.cost_usd, call.reused = call.milliseconds + 5, 1.0, True
    again.fingerprint = "another"
    assert memories_version([memory]) == memories_version([again])
    again.calls[0].output = "something else"
    assert memories_version([memory]) != memories_version([again])


def test_versions_are_read_without_importing() -> None:
    assert versions_of("pyarrow", "no-such-package") == {"pyarrow": pa.__version__, "no-such-package": "none"}
