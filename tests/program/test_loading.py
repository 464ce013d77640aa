"""Loading programs and their local modules, random, init_chatbot and user globals."""

import textwrap

import pytest

from autograms import Autogram, Memory, load_autogram
from autograms.errors import ProgramError, ProgramFileError
from autograms.models import ScriptedModel
from tests.programs import bot, replies, talk, write


def files(folder, **sources):
    """Write files (``a__b`` is ``a/b.py``, ``init`` is ``__init__``) and return the path of ``bot.py``."""
    for name, source in sources.items():
        path = folder / (name.replace("__", "/").replace("init", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return folder / "bot.py"


SAY = "from autograms.functional import reply\n"


def first(path):
    return Autogram(load_autogram(path)[0], model=ScriptedModel()).reply()[0]


# ----------------------------------------------------------------------------------------------------- local modules


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("import helper", "helper.NAME"),
        ("import helper as h", "h.NAME"),
        ("from helper import NAME", "NAME"),
        ("from helper import *", "NAME"),
        ("from . import helper", "helper.NAME"),
        ("from .helper import NAME", "NAME"),
        ("import parts.deep.leaf", "parts.deep.leaf.NAME"),
        ("import parts.deep.leaf as leaf", "leaf.NAME"),
        ("from parts import deep", "deep.leaf.NAME"),
        ("from parts.deep import leaf", "leaf.NAME"),
        ("from parts.deep.leaf import NAME", "NAME"),
        ("from parts.relative import NAME", "NAME"),
        ("import bare.leaf", "bare.leaf.NAME"),
        ("from bare import leaf", "leaf.NAME"),
        ("from bare.under import leaf", "leaf.NAME"),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_imports_of_local_modules(tmp_path, statement, value, inside):
    if inside and "*" in statement:
        pytest.skip("not allowed by Python")
    body = f"    {statement}\n" if inside else ""
    path = files(
        tmp_path,
        helper="NAME = 'found'",
        parts__init="",
        parts__deep__init="from . import leaf",
        parts__deep__leaf="NAME = 'found'",
        parts__relative="from .deep.leaf import NAME\nfrom ..helper import NAME as other\nassert other == NAME",
        bare__leaf="NAME = 'found'",
        bare__under__leaf="NAME = 'found'",
        bot=f"{SAY}{'' if inside else statement}\ndef chatbot():\n{body}    reply({value})\n",
    )
    assert first(path) == "found"


def test_two_projects_with_helpers_of_the_same_name(tmp_path):
    program = (
        f"{SAY}import helper\ndef chatbot():\n    helper.COUNT += 1\n    reply(f'{{helper.NAME}} {{helper.COUNT}}')\n"
    )
    one = files(tmp_path / "one", helper="NAME, COUNT = 'one', 0", bot=program)
    two = files(tmp_path / "two", helper="NAME, COUNT = 'two', 10", bot=program)
    assert [first(one), first(two), first(one)] == ["one 1", "two 11", "one 1"]


def test_circular_imports(tmp_path):
    path = files(
        tmp_path,
        a="import b\nA = 1",
        b="import a\ndef late():\n    return a.A",
        bot=f"{SAY}import a, b\ndef chatbot():\n    reply(str(b.late()))",
    )
    assert first(path) == "1"


def test_a_folder_does_not_hide_an_installed_module(tmp_path):
    (tmp_path / "json").mkdir()
    (tmp_path / "autograms").mkdir()
    (tmp_path / "autograms" / "__init__.py").write_text("raise ValueError")
    assert first(files(tmp_path, bot=f"{SAY}import json\ndef chatbot():\n    reply(json.dumps(1))")) == "1"


def test_an_optional_import_may_fail(tmp_path):
    path = files(
        tmp_path,
        helper="import not_installed_anywhere",
        bot=f"{SAY}try:\n import helper\nexcept ImportError:\n    helper = 0\ndef chatbot():\n    reply(str(helper))",
    )
    assert first(path) == "0"


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_dataclasses_and_pydantic_find_their_names(tmp_path, future):
    path = files(
        tmp_path,
        bot=future
        + SAY
        + textwrap.dedent("""
            from dataclasses import dataclass, fields
            from typing import ClassVar, NamedTuple
            from pydantic import BaseModel

            class Item(BaseModel):
                name: str

            class Order(BaseModel):
                items: list[Item]

            @dataclass
            class Note:
                kind: ClassVar[str] = "k"
                items: list[Item] = None

            class Pair(NamedTuple):
                a: Item

            def chatbot():
                order = Order.model_validate({"items": [{"name": "x"}]})
                reply(order.items[0].name + str(len(fields(Note))))
        """),
    )
    assert first(path) == "x1"


def test_files_are_known(tmp_path):
    path = files(tmp_path, helper="", bot="import helper\ndef chatbot():\n    raise ValueError\n")
    autogram = Autogram.from_file(path, model=ScriptedModel())
    assert autogram.files == [str(path), str(tmp_path / "helper.py")]
    assert autogram.name == "bot"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def chatbot(:", r"bot\.py:1: syntax error: .*def chatbot"),
        ("x = 1\ndef other(): pass", r"defines no chatbot\(\).*it defines other"),
        ("chatbot = 5", r"defines no chatbot\(\)"),
        ("def chatbot(): pass\n1 / 0", r"bot\.py:2: bot\.py cannot be loaded: ZeroDivisionError"),
        ("import sys\nsys.exit('no')\ndef chatbot(): pass", "SystemExit: no"),
        ("import helper\ndef chatbot(): pass", r"helper\.py:2: bot\.py cannot be loaded: ZeroDivisionError"),
        ("import broken\ndef chatbot(): pass", r"broken\.py:1: syntax error"),
        ("import missing_module\ndef chatbot(): pass", "ModuleNotFoundError: No module named 'missing_module'"),
        ("from .nowhere import x\ndef chatbot(): pass", "nowhere"),
    ],
)
def test_files_that_cannot_be_loaded(tmp_path, source, message):
    path = files(tmp_path, helper="x = 1\n1 / 0", broken="def (", bot=source)
    with pytest.raises(ProgramFileError, match=message):
        load_autogram(path)


@pytest.mark.parametrize(
    ("there", "statement", "hint"),
    [
        ("prices.py", "import prices", r"prices\.py is there: move it to .*chatbots, where programs find it"),
        ("prices/__init__.py", "from prices import x", r"p/prices is there: move it to .*chatbots,"),
        ("lib/prices.py", "import lib.prices", r"lib/prices\.py is there: move it to .*chatbots/lib,"),
        ("chatbots/shop/prices.py", "import prices", r"shop/prices\.py is there: import shop\.prices$"),
        ("chatbots/_prices.py", "import prices", r"_prices\.py is there: import _prices$"),
        ("chatbots/_prices.py", "from .prices import x", r"_prices\.py is there: import _prices$"),
        ("elsewhere/x.py", "import prices", r"'prices', neither in .*chatbots nor installed$"),
    ],
)
def test_a_module_that_lies_elsewhere_is_found(tmp_path, there, statement, hint):
    (tmp_path / "p" / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "p" / there).write_text("x = 1\n")
    (tmp_path / "p/chatbots").mkdir(exist_ok=True)
    (tmp_path / "p/chatbots/bot.py").write_text(f"{statement}\ndef chatbot(): pass\n")
    with pytest.raises(ProgramFileError, match=hint):
        load_autogram(tmp_path / "p/chatbots/bot.py")


def test_a_program_may_do_without_a_module(tmp_path):
    source = """
    from autograms.functional import reply
    try:
        import prices
    except ModuleNotFoundError as error:
        name = error.name
    def chatbot(): reply(name)
    """
    assert first(files(tmp_path, bot=source)) == "prices"


def test_a_file_that_is_missing_or_no_text(tmp_path):
    with pytest.raises(ProgramFileError, match="no autogram at"):
        load_autogram(tmp_path / "none.py")
    (tmp_path / "bot.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProgramFileError, match="is not UTF-8 text"):
        load_autogram(tmp_path / "bot.py")


@pytest.mark.parametrize(
    "root", ["chatbot = Bot()", "chatbot = Bot().run", "chatbot = Bot.named", "chatbot = lambda: reply('x')"]
)
def test_roots_of_other_kinds(root):
    program = f"""
class Bot:
    def __call__(self):
        reply("x")
    def run(self):
        reply("x")
    @classmethod
    def named(cls):
        reply("x")
{root}
"""
    assert replies(program, [None, None]) == ["x", None]


def test_a_root_function_of_an_ordinary_module():
    from autograms import autograms_function
    from autograms.functional import reply

    @autograms_function()
    def chatbot(name):
        reply(name)

    autogram = Autogram(chatbot, model=ScriptedModel())
    assert autogram.reply(name="Ann")[0] == "Ann"
    assert autogram.files == [__file__]
    with pytest.raises(ProgramFileError, match="expected the program's root function"):
        Autogram("bot.py")


# ------------------------------------------------------------------------------------------------------------ random


@pytest.mark.parametrize(
    ("statement", "draw"),
    [
        ("import random", "random.random()"),
        ("import random as r", "r.random()"),
        ("from random import random", "random()"),
        ("from random import *", "randint(0, 10**9)"),
        ("from random import choice as pick", "pick(range(10**9))"),
        ("import random", "random.sample(range(10**9), 1)[0]"),
        ("import random", "random.shuffle(items := list(range(20))) or items"),
        ("import random", "random.Random().random()"),
        ("from random import Random", "Random().random()"),
        ("import helper", "helper.draw()"),
        ("import helper", "helper.draw_inside()"),
    ],
)
def test_random_belongs_to_the_conversation(tmp_path, statement, draw):
    path = files(
        tmp_path,
        helper="""
        import random
        def draw():
            return random.random()
        def draw_inside():
            from random import random
            return random()
        """,
        bot=f"{SAY}{statement}\ndef chatbot():\n    while True:\n        reply(str({draw}))\n",
    )
    autogram = Autogram(load_autogram(path)[0], model=ScriptedModel())
    live = talk(autogram, [None] * 4, Memory(seed=1))[0]
    assert len(set(live)) == 4
    assert talk(autogram, [None] * 4, Memory(seed=1), saving=True)[0] == live
    assert talk(autogram, [None] * 4, Memory(seed=2))[0] != live


def test_new_conversations_draw_differently():
    autogram = bot("def chatbot():\n    reply(str(random.random()))\n")
    assert len({autogram.reply()[0] for _ in range(8)}) == 8


def test_the_real_random_is_not_touched():
    import random

    random.seed(5)
    expected = random.random()
    random.seed(5)
    bot("def chatbot():\n    random.seed(9)\n    reply(str(random.random()))\n").reply()
    assert random.random() == expected


def test_a_program_may_seed_its_random():
    program = "def chatbot():\n    random.seed(4)\n    reply(str(random.random()) + str(random.Random(3).random()))\n"
    assert bot(program).reply()[0] == bot(program).reply()[0]


# ------------------------------------------------------------------------------------------------------ init_chatbot


COUNTED = """
RUNS = []
def init_chatbot():
    RUNS.append(1)
    return "made"
def chatbot():
    reply(str(len(RUNS)))
"""


def test_init_chatbot_runs_once_before_the_first_conversation():
    autogram = bot(COUNTED)
    assert [autogram.reply()[0], autogram.reply()[0]] == ["1", "1"]


def test_init_chatbot_that_was_called_already():
    chatbot, init_chatbot = load_autogram(write(COUNTED))
    assert init_chatbot() == init_chatbot() == "made"
    for _ in range(2):
        assert Autogram(chatbot, model=ScriptedModel()).reply()[0] == "1"


def test_init_chatbot_may_ask_the_model():
    program = """
    def init_chatbot():
        global VECTORS, IDEAS
        VECTORS = get_batch_embeddings(["a", "bb"])
        IDEAS = [thought("idea") for n in range(3)]
    def chatbot():
        reply(f"{len(VECTORS)} {IDEAS}")
    """
    assert bot(program, lambda r: "x").reply()[0] == "2 ['x', 'x', 'x']"


def test_no_init_chatbot():
    assert load_autogram(write("def chatbot():\n    pass\n"))[1] is None


# ------------------------------------------------------------------------------------------------------ user globals


GLOBALS = """
ug = init_user_globals()
ug["items"] = []
shared = []

@autograms_function()
def chatbot(name=""):
    while True:
        ug["items"].append(extract_last_user_reply())
        ug.setdefault("n", 0)
        ug["n"] += 1
        shared.append(1)
        reply(f"{ug['n']} {ug['items']} {sorted(ug)} {'x' in ug} {ug.get('x')}")

@autograms_external
def look(key, value=None):
    if value is not None:
        ug[key] = value
    return ug.get(key)

def think():
    return thought("from outside")

def speak():
    reply("x")
"""


def test_each_conversation_has_its_own_user_globals():
    autogram = bot(GLOBALS)
    one, first_memory = talk(autogram, ["a", "b"])
    two, _ = talk(autogram, ["c"])
    assert one == ["1 ['a'] ['items', 'n'] False None", "2 ['a', 'b'] ['items', 'n'] False None"]
    assert two == ["1 ['c'] ['items', 'n'] False None"]
    assert len(autogram.program.module.shared) == 3
    assert talk(autogram, ["d"], first_memory)[0][0].startswith("3 ['a', 'b', 'd']")


def test_user_globals_stay_on_resume():
    autogram = bot(GLOBALS)
    last = talk(autogram, ["a", "b", "c"], saving=True)[0][-1]
    assert last.startswith("3 ['a', 'b', 'c']")


def test_init_user_globals_once_a_module():
    with pytest.raises(ProgramError, match="called before; call it once"):
        bot("a = init_user_globals()\nb = init_user_globals()\ndef chatbot():\n    pass\n")


def test_user_globals_of_two_modules(tmp_path):
    ug = "from autograms.memory import init_user_globals\nug = init_user_globals()\nug['n'] = {}\n"
    path = files(
        tmp_path,
        helper=ug.format(10),
        bot=SAY
        + ug.format(1)
        + "import helper\ndef chatbot():\n    helper.ug['n'] += 1\n    reply(f\"{ug['n']} {helper.ug['n']}\")\n",
    )
    assert [first(path), first(path)] == ["1 11", "1 11"]


# ------------------------------------------------------------------------------------------------------------- apply


def test_apply_runs_functions_from_outside():
    autogram = bot(GLOBALS, lambda r: "thinking")
    memory = autogram.apply("a").memory_object
    look, think = autogram.program.module.look, autogram.program.module.think
    assert autogram.apply(memory_object=memory, function=look, key="n").func_return == 1
    assert autogram.apply(memory_object=memory, function=look, key="x", value=5).func_return == 5
    assert autogram.apply(memory_object=memory, function=think).func_return == "thinking"
    memory = autogram.deserialize(autogram.serialize(memory))
    result = autogram.apply("b", memory)
    assert result.reply.startswith("2 ['a', 'b'] ['items', 'n', 'x'] True 5")
    assert "thinking" not in str(memory.transcript())
    assert [turn["role"] for turn in memory.transcript()] == ["user", "assistant"] * 2


@pytest.mark.parametrize(
    ("name", "message"), [("speak", "a function run from outside returns"), ("print", "no function of bot's file")]
)
def test_functions_that_cannot_be_applied(name, message):
    autogram = bot(GLOBALS)
    memory = autogram.apply("a").memory_object
    before = memory.to_dict()
    with pytest.raises(ProgramError, match=message):
        autogram.apply(memory_object=memory, function=getattr(autogram.program.module, name, print))
    assert memory.to_dict() == before


def test_a_byte_order_mark_is_no_part_of_a_program(tmp_path):
    path = tmp_path / "bot.py"
    path.write_bytes(f"{SAY}def chatbot():\n    reply('read')\n".encode("utf-8-sig"))
    assert first(path) == "read"


def test_loading_asks_no_module_for_what_it_does_not_have_yet(tmp_path):
    files(
        tmp_path,
        lazy="def __getattr__(name):\n    raise ImportError(name)\n",
        bot=SAY
        + """
import lazy

def never():
    lazy.Model.from_pretrained("x", dtype="y")
    lazy.make(size=3)

def chatbot():
    reply("read")
""",
    )
    assert first(tmp_path / "bot.py") == "read"
