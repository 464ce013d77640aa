"""Suspension in every construct; each program also runs saved and loaded behind every turn."""

import asyncio
import threading

import pytest

from autograms import Memory
from autograms.errors import ProgramError
from tests.programs import SlowModel, bot, replies, talk


def test_nested_functions():
    program = """
    @autograms_function()
    def inner(n):
        reply(f"inner {n}")
        return extract_last_user_reply()

    @autograms_function()
    def chatbot():
        first = inner(1)
        second = inner(2)
        reply(f"{first} {second}")
    """
    assert replies(program, [None, "a", "b", "c"]) == ["inner 1", "inner 2", "a b", None]


def test_plain_helpers():
    program = """
    def ask(text):
        reply(text)
        return extract_last_user_reply()

    def both():
        return ask("one") + ask("two")

    @autograms_function()
    def chatbot():
        reply(both())
    """
    assert replies(program, [None, "a", "b"]) == ["one", "two", "ab"]


def test_an_undecorated_root():
    assert replies("def chatbot():\n    reply('x')\n    reply('y')\n", [None, "a", "b"]) == ["x", "y", None]


def test_several_suspending_calls_in_one_statement():
    program = """
    def ask(text):
        reply(text)
        return extract_last_user_reply()

    @autograms_function()
    def chatbot():
        reply(" ".join([ask("a"), ask("b")] + [ask(x) for x in "cd"])); reply("same line"); reply("still")
    """
    assert replies(program, [None, *"1234", "5", "6"]) == [*"abcd", "1 2 3 4", "same line", "still"]


def test_recursion_two_hundred_deep():
    program = """
    @autograms_function()
    def down(n):
        if n == 0:
            reply("bottom")
            return extract_last_user_reply()
        answer = down(n - 1)
        if n % 100 == 0:
            reply(f"up {n}")
        return answer + "."

    @autograms_function()
    def chatbot():
        reply(str(len(down(200))))
    """
    assert replies(program, [None, "x", "y", "z"]) == ["bottom", "up 100", "up 200", "201"]


@pytest.mark.parametrize(
    ("body", "users", "expected"),
    [
        ("for n in range(3):\n    reply(str(n))\nelse:\n    reply('else')", [None] * 5, ["0", "1", "2", "else", None]),
        ("for n in range(3):\n    reply(str(n))\n    break\nelse:\n    reply('else')", [None] * 2, ["0", None]),
        (
            "n = 0\nwhile n < 2:\n    reply(str(n))\n    n += 1\nelse:\n    reply('else')",
            [None] * 3,
            ["0", "1", "else"],
        ),
        ("try:\n    reply('in')\nfinally:\n    reply('out')", [None] * 3, ["in", "out", None]),
        (
            "try:\n    reply('in')\n    1 / 0\nexcept ZeroDivisionError:\n    reply('caught')",
            [None] * 2,
            ["in", "caught"],
        ),
        ("try:\n    reply('in')\nexcept ValueError:\n    pass\nelse:\n    reply('else')", [None] * 2, ["in", "else"]),
        (
            "match extract_last_user_reply():\n    case None:\n        reply('none')\n        reply('more')",
            [None] * 2,
            ["none", "more"],
        ),
        ("reply(str([reply(str(n)) for n in range(2)]))", [None] * 3, ["0", "1", "[None, None]"]),
        ("reply(str({n: reply(str(n)) for n in range(2)}))", [None] * 3, ["0", "1", "{0: None, 1: None}"]),
        ("reply(str(sorted({reply(str(n)) or n for n in (1, 2)})))", [None] * 3, ["1", "2", "[1, 2]"]),
        ("say = lambda text: reply(text)\nsay('a')\nsay('b')", [None] * 2, ["a", "b"]),
        (
            "if (text := extract_last_user_reply()) is None:\n    reply('x')\nreply(str(text))",
            [None] * 2,
            ["x", "None"],
        ),
        (
            "items = [3, 1, 2]\nitems.sort(key=lambda n: reply(str(n)) or n)\nreply(str(items))",
            [None] * 4,
            ["3", "1", "2", "[1, 2, 3]"],
        ),
        ("global G\nG = 1\nreply(str(G))\nG += 1\nreply(str(G))", [None] * 2, ["1", "2"]),
    ],
)
def test_constructs(body, users, expected):
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    assert replies(f"@autograms_function()\ndef chatbot():\n{lines}", users) == expected


def test_generators():
    program = """
    def questions():
        for name in ("name", "town"):
            reply(f"your {name}?")
            yield extract_last_user_reply()

    @autograms_function()
    def talk():
        yield from questions()

    @autograms_function()
    def chatbot():
        reply(", ".join(talk()))
    """
    assert replies(program, [None, "Ann", "Rome"]) == ["your name?", "your town?", "Ann, Rome"]


def test_context_managers():
    program = """
    from contextlib import contextmanager

    class Door:
        def __enter__(self):
            reply("open")
            return self
        def __exit__(self, *error):
            reply("shut")

    @contextmanager
    def light():
        reply("on")
        yield
        reply("off")

    @autograms_function()
    def chatbot():
        with Door(), light():
            reply("inside")
    """
    assert replies(program, [None] * 5) == ["open", "on", "inside", "off", "shut"]


def test_methods_properties_closures_and_defaults():
    program = """
    class Desk:
        def __init__(self):
            self.seen = []

        @autograms_function()
        def ask(self, text, *, mark="!"):
            reply(text + mark)
            self.seen.append(extract_last_user_reply())

        @staticmethod
        @autograms_function()
        def plain(text):
            reply(text)

        @autograms_function()
        @classmethod
        def named(cls, text):
            reply(cls.__name__ + text)

        @property
        def last(self):
            reply("last?")
            return self.seen[-1]

    class Sub(Desk):
        @autograms_function()
        def ask(self, text, **options):
            super().ask("sub " + text, **options)

    @autograms_function()
    def chatbot():
        desk, count = Sub(), 0

        @autograms_function()
        def again(text="d", *more, end=";"):
            nonlocal count
            count += 1
            reply(f"{text}{more}{end}{count}")

        desk.ask("a")
        desk.ask("b", mark="?")
        desk.plain("c")
        desk.named("d")
        again()
        again("e", 1, end=".")
        reply(str(desk.seen) + desk.last)
    """
    expected = ["sub a!", "sub b?", "c", "Subd", "d();1", "e(1,).2", "last?", "['1', '2']2"]
    assert replies(program, [None, *"1234567"]) == expected


def test_decorators_over_and_under():
    program = """
    import functools

    def twice(function):
        @functools.wraps(function)
        def call(*args):
            function(*args)
            function(*args)
        return call

    @twice
    @autograms_function()
    def over(x):
        reply("over" + x)

    @autograms_function()
    @twice
    def under(x):
        reply("under" + x)

    @autograms_chatbot()
    def chatbot():
        over("1")
        under("2")
    """
    assert replies(program, [None] * 5) == ["over1", "over1", "under2", "under2", None]


def test_any_local_value_is_allowed():
    program = """
    import threading

    @autograms_function()
    def chatbot():
        lock, numbers = threading.Lock(), (n * n for n in range(9))
        with lock:
            for number in numbers:
                reply(str(number))
    """
    assert replies(program, [None] * 3) == ["0", "1", "4"]


def test_the_root_ends_and_starts_again():
    program = """
    ug = init_user_globals()
    ug["runs"] = 0

    @autograms_function()
    def chatbot(name="nobody"):
        ug["runs"] += 1
        set_system_prompt("once")
        reply_instruction(f"greet {name} {ug['runs']}")
    """
    autogram = bot(program, lambda request: f"said {len(request.messages)}")
    spoken, memory = talk(autogram, ["a", "b", "c"], name="Ann")
    assert spoken == ["said 2", None, "said 2"]
    assert [turn.content for turn in memory.turns] == ["a", "said 2", "b", None, "c", "said 2"]
    assert autogram.model.requests[1].messages[-1]["content"].endswith("greet Ann 2")
    kept = {"name": "Ann"}
    assert replies(program, [None, "b", None, "d", None], lambda r: "x", kwargs=kept) == ["x", None, "x", None, "x"]


def test_async_programs_are_refused():
    with pytest.raises(ProgramError, match=r"bot\.py:\d+: chatbot\(\) is an 'async def'"):
        bot("@autograms_function()\nasync def chatbot():\n    reply('x')\n")


def test_generators_have_no_scope():
    with pytest.raises(ProgramError, match="is a generator, which has no scope"):
        bot("@autograms_function(conv_scope='local')\ndef f():\n    yield 1\ndef chatbot():\n    pass\n")


def test_what_is_no_function_is_refused():
    with pytest.raises(ProgramError, match="it goes over a function"):
        bot("import functools\nchatbot = autograms_function()(functools.partial(print))\n")


COUNTING = """
@autograms_function()
def chatbot(start=0):
    n = start
    while True:
        n += 1
        reply(f"{n} {extract_last_user_reply()}")
"""


def test_resume_in_another_thread():
    autogram = bot(COUNTING)
    _, memory = talk(autogram, [None, "a"])
    found = []
    thread = threading.Thread(target=lambda: found.extend(talk(autogram, ["b", "c"], memory)[0]))
    thread.start()
    thread.join()
    assert found == ["3 b", "4 c"]
    assert talk(autogram, ["d"], memory)[0] == ["5 d"]


def test_each_turn_in_a_thread_of_its_own():
    autogram, memory, found = bot(COUNTING), None, []

    def take_turn(text):
        nonlocal memory
        said, memory = autogram.reply(text, memory)
        found.append(said)

    for text in (None, "a", "b", "c"):
        thread = threading.Thread(target=take_turn, args=(text,))
        thread.start()
        thread.join()
    assert found == ["1 None", "2 a", "3 b", "4 c"]  # the system gives a thread's number to the next one
    assert talk(autogram, ["d"], memory)[0] == ["5 d"]


def test_resume_by_another_autogram():
    _, memory = talk(bot(COUNTING), [None, "a"])
    assert talk(bot(COUNTING), ["b"], memory)[0] == ["3 b"]


def test_areply_and_reply_take_turns():
    autogram = bot(COUNTING)

    async def play():
        _, memory = await autogram.areply(None)
        text, memory = await autogram.areply("a", memory)
        again, memory = autogram.reply("b", memory)
        return text, again, memory

    text, again, memory = asyncio.run(play())
    assert (text, again) == ("2 a", "3 b")
    assert talk(autogram, ["c"], memory)[0] == ["4 c"]


def test_one_turn_at_a_time():
    autogram = bot("@autograms_function()\ndef chatbot():\n    reply_instruction('x')\n", SlowModel(lambda r: "x"))

    async def play():
        memory = Memory()
        return await asyncio.gather(autogram.areply("a", memory), autogram.areply("b", memory), return_exceptions=True)

    first, second = asyncio.run(play())
    assert first[0] == "x"
    assert "under way already" in str(second)


def test_keywords_that_are_no_plain_data_reach_the_root_but_cannot_be_saved():
    autogram = bot("@autograms_function()\ndef chatbot(thing):\n    reply(type(thing).__name__)\n")
    spoken, memory = talk(autogram, [None], thing=object())
    assert spoken == ["object"]
    with pytest.raises(ValueError, match="thing=object is no plain data"):
        autogram.serialize(memory)


def test_a_failed_first_turn_leaves_the_memory_saveable():
    autogram = bot("@autograms_function()\ndef chatbot(thing=None):\n    reply(thing + 'x')\n")
    memory = Memory(seed=7)
    with pytest.raises(TypeError):
        autogram.reply(None, memory, thing=object())
    assert autogram.deserialize(autogram.serialize(memory)) == Memory(seed=7)
    assert talk(autogram, [None], memory, thing="y")[0] == ["yx"]


def test_a_bot_inside_a_bot():
    program = """
    @autograms_function()
    def other(name):
        while True:
            reply_instruction(f"other {name} {random.randrange(1000)}")

    @autograms_function()
    def chatbot():
        adviser = Autogram(other, model=MODEL)
        memory = None
        while True:
            advice, memory = adviser.reply(extract_last_user_reply(), memory, name="Ann")
            reply_instruction(f"tell: {advice}")

    from autograms.models import ScriptedModel
    MODEL = ScriptedModel(lambda request: request.messages[-1]["content"].split()[-1])
    """
    spoken = replies(program, ["a", "b", "c"], lambda request: f"told {request.messages[-1]['content']}")
    assert len(set(spoken)) == 3
    autogram = bot(program, lambda request: "told")
    _, memory = talk(autogram, ["a", "b"], saving=True)
    _, memory = talk(autogram, ["c"], memory)
    inner = autogram.program.module.MODEL
    assert len(inner.requests) == 3
    assert [call.primitive for call in memory.calls] == ["inner", "reply_instruction"] * 3
    assert not any(call.trains for call in memory.calls[::2])
