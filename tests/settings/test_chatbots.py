from pathlib import Path

import pytest

from autograms.settings.chatbots import autogram_names, problem_of, rootless

PROGRAM = "def chatbot():\n    pass\n"
MODULE = "def price(name):\n    return 1\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    "statement",
    [
        "from prices import price",
        "import prices",
        "from . import prices",
        "from .prices import price",
        "import prices.x",
    ],
)
def test_a_module_that_a_program_imports_is_no_autogram(tmp_path: Path, statement: str) -> None:
    assert autogram_names(write(tmp_path, desk=f"{statement}\n{PROGRAM}", prices=MODULE)) == ["desk"]


def test_so_is_one_that_a_module_imports(tmp_path: Path) -> None:
    write(tmp_path, desk=f"from shop import stock\n{PROGRAM}", prices=MODULE)
    assert autogram_names(write(tmp_path, shop__stock="import prices\n")) == ["desk"]


def test_a_program_that_another_imports_stays_one(tmp_path: Path) -> None:
    assert autogram_names(write(tmp_path, desk=f"import other\n{PROGRAM}", other=PROGRAM)) == ["desk", "other"]


def test_a_module_that_nobody_imports_is_told(tmp_path: Path) -> None:
    write(tmp_path, desk=PROGRAM, prices=f"import prices\n{MODULE}")
    assert autogram_names(tmp_path) == ["desk", "prices"]
    problem = str(problem_of(tmp_path / "prices.py"))
    for part in ("prices.py defines no chatbot()", "'def chatbot(...)'", "_prices.py", "/NAME/prices.py", "price)"):
        assert part in problem


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        "from other import chatbot\n",
        "from other import *\n",
        "import other as chatbot\n",
        "chatbot = make()\n",
        "if True:\n    chatbot, x = make()\n",
        "class chatbot:\n    pass\n",
        "async def chatbot():\n    pass\n",
        "def make():\n    global chatbot\n    chatbot = print\n",
        'globals()["chatbot"] = print\n',
        "globals().update(chatbot=print)\n",
    ],
)
def test_whatever_may_define_a_root_is_a_program(tmp_path: Path, text: str) -> None:
    assert problem_of(write(tmp_path, desk=text) / "desk.py") is None


@pytest.mark.parametrize("text", ["", "x = chatbot\n", "def other():\n    def chatbot():\n        pass\n"])
def test_what_cannot_define_one_is_none(tmp_path: Path, text: str) -> None:
    assert rootless(write(tmp_path, desk=text) / "desk.py") is not None


def test_a_file_that_does_not_parse_is_a_program_with_a_problem(tmp_path: Path) -> None:
    assert autogram_names(write(tmp_path, desk="def chatbot(:\n")) == ["desk"]
    assert "desk.py:1: syntax error" in str(problem_of(tmp_path / "desk.py"))
    assert rootless(tmp_path / "desk.py") is None


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path) -> None:
    assert problem_of(write(tmp_path, desk=MODULE) / "desk.py") is not None
    assert problem_of(write(tmp_path, desk=PROGRAM) / "desk.py") is None
