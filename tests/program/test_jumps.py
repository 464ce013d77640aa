"""Jumps: GOTO, RETURNTO, TRANSITION, EXIT; each program also runs saved and loaded behind every turn."""

import warnings

import pytest

from autograms.errors import AddressError, SupervisorError
from tests.programs import asked, bot, replies, talk


def root(body, before=""):
    """Return a program whose root has this body."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return f"{before}\n@autograms_function()\ndef chatbot():\n{lines}"


BODIES = {
    "if": "if False:\n    pass\n    location(ADDRESS='a')\n    reply('in')\nelse:\n    reply('else')",
    "elif": "if False:\n    pass\nelif False:\n    location(ADDRESS='a')\n    reply('in')",
    "else": "if True:\n    pass\nelse:\n    location(ADDRESS='a')\n    reply('in')",
    "while": "while False:\n    pass\n    location(ADDRESS='a')\n    reply('in')",
    "while else": "while True:\n    break\nelse:\n    location(ADDRESS='a')\n    reply('in')",
    "for": "for n in [5]:\n    if n < 5:\n        location(ADDRESS='a')\n        reply('in')",
    "for else": "for n in [5]:\n    break\nelse:\n    location(ADDRESS='a')\n    reply('in')",
    "with": "if False:\n    with memoryview(b''):\n        location(ADDRESS='a')\n        reply('in')",
    "try": "if False:\n    try:\n        location(ADDRESS='a')\n        reply('in')\n    finally:\n        n = 1",
    "match": "match 1:\n    case 2:\n        location(ADDRESS='a')\n        reply('in')",
    "nested": (
        "while False:\n    for n in [1]:\n        if n == 2:\n            try:\n                location(ADDRESS='a')\n"
        "                reply('in')\n            finally:\n                pass\n        break"
    ),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("forward", [True, False])
def test_a_jump_reaches_into(body, forward):
    jump = "if jumps == 0:\n    jumps = 1\n    GOTO('a')"
    parts = ["jumps = 0", *([jump, body] if forward else [body, jump]), "reply('end')"]
    spoken = replies(root("\n".join(parts)), [None] * 4)
    assert spoken[spoken.index("in") :][:2] == ["in", "end"]


def test_locals_stay_and_conditions_are_not_asked_again():
    body = """
count = 0
if yes_or_no("enter?"):
    count += 10
    reply("start", ADDRESS="inside")
    count += 1
    reply(str(count))
    if count < 13:
        GOTO("inside")
"""
    autogram = bot(root(body), ["Yes"])
    assert talk(autogram, [None] * 6)[0] == ["start", "11", "start", "12", "start", "13"]
    assert len(asked(autogram)) == 1


def test_a_loop_keeps_its_iterator():
    body = """
jumps = 0
for name in ["a", "b", "c"]:
    reply(name)
    location(ADDRESS="again")
    reply("at " + name)
    if name == "b" and jumps < 2:
        jumps += 1
        GOTO("again")
else:
    reply("else")
"""
    expected = ["a", "at a", "b", "at b", "at b", "at b", "c", "at c", "else"]
    assert replies(root(body), [None] * 9) == expected


def test_a_jump_out_of_a_loop_and_back_goes_on_with_the_iterator():
    body = """
for n in range(4):
    location(ADDRESS="in")
    reply(str(n))
    if n == 1:
        GOTO("out")
reply("done")
GOTO("end")
location(ADDRESS="out")
reply("outside")
GOTO("in")
location(ADDRESS="end")
"""
    assert replies(root(body), [None] * 4) == ["0", "1", "outside", "1"]


def test_a_jump_into_a_loop_that_never_ran_binds_its_first_item():
    body = "GOTO('in')\nfor n in [7, 8]:\n    reply('skipped')\n    location(ADDRESS='in')\n    reply(str(n))"
    assert replies(root(body), [None] * 3) == ["7", "skipped", "8"]


def test_a_jump_leaves_try_finally():
    body = """
n = 0
location(ADDRESS="again")
try:
    n += 1
    if n < 3:
        GOTO("again")
    reply(f"n {n}")
finally:
    reply(f"finally {n}")
"""
    assert replies(root(body), [None] * 4) == ["finally 1", "finally 2", "n 3", "finally 3"]


@pytest.mark.parametrize("handler", ["except:", "except BaseException:", "except Exception:"])
def test_handlers_do_not_catch_jumps(handler):
    body = f"try:\n    GOTO('a')\n{handler}\n    reply('caught')\nreply('fell through')\nreply('there', ADDRESS='a')"
    assert replies(root(body), [None] * 2) == ["there", None]


def test_a_jump_out_of_a_handler():
    body = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    GOTO('a')\nreply('no')\nreply('there', ADDRESS='a')"
    assert replies(root(body), [None]) == ["there"]


def test_exception_groups():
    body = """
if False:
    try:
        location(ADDRESS="a")
        reply("in")
    except* ValueError:
        pass
    reply("after")
else:
    GOTO("a")
"""
    assert replies(root(body), [None] * 2) == ["in", "after"]


def test_a_jump_to_a_condition_evaluates_it():
    body = """
n = 0
if ask(n, ADDRESS="if"):
    reply("yes")
    n += 1
    GOTO("if")
reply("no")
while ask(n - 5, ADDRESS="while"):
    n = 9
    reply("loop")
if n == 1:
    n = 5
    GOTO("while")
"""
    before = "@autograms_node\ndef ask(n):\n    return n == 0\n"
    assert replies(root(body, before), [None] * 4) == ["yes", "no", "loop", None]


def test_free_variables_nonlocal_and_super():
    program = """
    class Base:
        def hello(self):
            return "base"

    class Desk(Base):
        __secret = "s"

        @autograms_function()
        def hello(self):
            tries = 0
            location(ADDRESS="top")
            tries += 1
            reply(super().hello() + self.__secret + str(tries))
            if tries < 2:
                GOTO("top")
            return tries

    @autograms_function()
    def chatbot():
        total, names = 0, ["x", "y"]

        @autograms_function()
        def inner():
            nonlocal total
            location(ADDRESS="more")
            total += 1
            reply(f"{total} {names}")
            if total < 2:
                GOTO("more")

        inner()
        Desk().hello()
        reply(str(total))
    """
    assert replies(program, [None] * 5) == ["1 ['x', 'y']", "2 ['x', 'y']", "bases1", "bases2", "2"]


def test_defaults_annotations_and_docstrings_stay():
    program = """
    @autograms_function()
    def inner(a, /, b: int = 2, *rest, c="3", **more) -> str:
        \"\"\"What it does.\"\"\"
        location(ADDRESS="x")
        return f"{a}{b}{rest}{c}{more}"

    @autograms_function()
    def chatbot():
        reply(inner(1) + inner(1, 2, 3, c=4, d=5) + inner.__doc__ + str(inner.__annotations__))
    """
    expected = "12()3{}12(3,)4{'d': 5}What it does.{'b': <class 'int'>, 'return': <class 'str'>}"
    assert replies(program, [None]) == [expected]


def test_addresses_in_comprehensions():
    body = (
        "n = 0\nfound = [reply(str(x), ADDRESS='a') for x in range(2)]\nn += 1\nif n < 2:\n    GOTO('a')\nreply('end')"
    )
    assert replies(root(body), [None] * 5) == ["0", "1", "0", "1", "end"]


def test_addresses_that_are_module_constants():
    body = "n = 0\nlocation(ADDRESS=TOP)\nn += 1\nif n < 3:\n    GOTO(TOP)\nreply(str(n))"
    assert replies(root(body, "TOP = 'top'"), [None]) == ["3"]


def test_an_endless_jump_does_not_grow_the_stack():
    body = "n = 0\nlocation(ADDRESS='top')\nn += 1\nif n < 5000:\n    GOTO('top')\nreply(str(n))"
    assert replies(root(body), [None]) == ["5000"]


RETURNING = """
@autograms_function({scope})
def leaf():
    reply_instruction("leaf")
    RETURNTO("back")

@autograms_function({scope})
def middle():
    reply_instruction("middle")
    leaf()

@autograms_function()
def chatbot():
    kept = "kept"
    times = 0
    reply("hi")
    location(ADDRESS="back")
    times += 1
    if times == 2:
        reply_instruction(kept)
    middle()
"""


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        ("", ["assistant: hi", "assistant: said middle", "assistant: said leaf"]),
        ("conv_scope='normal'", ["assistant: hi"]),
        ("conv_scope='local'", ["assistant: hi"]),
    ],
)
def test_returnto_drops_the_turns_that_scopes_drop(scope, seen):
    autogram = bot(RETURNING.format(scope=scope), lambda r: "said " + r.messages[-1]["content"].split()[-1])
    spoken, memory = talk(autogram, [None] * 4, saving=True)
    assert spoken == ["hi", "said middle", "said leaf", "said kept"]
    last = memory.prompt_messages(memory.calls[-1].prompt)
    assert [f"{m['role']}: {m['content']}" for m in last[:-1]] == seen


def test_returnto_reaches_the_nearest_caller():
    program = """
    @autograms_function()
    def leaf():
        RETURNTO("here")

    @autograms_function()
    def middle():
        times = 0
        location(ADDRESS="here")
        times += 1
        if times == 2:
            return "nearest"
        leaf()

    @autograms_function()
    def chatbot():
        reply("far", ADDRESS="here")
        reply(middle())
    """
    assert replies(program, [None] * 2) == ["far", "nearest"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("name = 'tpo'\nGOTO(name)\nlocation(ADDRESS='top')", r"'tpo'.*did you mean 'top'"),
        ("name = 'top'\nGOTO(name)", "'top'"),
        ("RETURNTO('top')\nlocation(ADDRESS='top')", "the callers"),
    ],
)
def test_unknown_addresses(body, message):
    autogram = bot(root(body))
    with pytest.raises(AddressError, match=message):
        autogram.reply()


def test_goto_does_not_leave_its_function():
    program = root("location(ADDRESS='top')\nf('top')", "@autograms_function()\ndef f(name):\n    GOTO(name)")
    with pytest.raises(AddressError, match=r"f\(\)"):
        bot(program).reply()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "location(ADDRESS='start')\nif x:\n    GOTO('strat')",
            r"bot\.py:14: GOTO to 'strat'.*did you mean 'start'.*has 'start'",
        ),
        ("GOTO(destination='top')", r"bot\.py:12: GOTO to 'top'.*chatbot\(\) has no addresses"),
        ("location(ADDRESS='top')\n[GOTO('tpo') for _ in x]", "did you mean 'top'"),
        ("location(ADDRESS='top')\nautograms.functional.GOTO('tpo')", "did you mean 'top'"),
        ("location(ADDRESS='top')\nTRANSITION('?', {'yes': 'top', 'no': 'tpo'})", "TRANSITION to 'tpo'"),
        ("location(ADDRESS='top')\ntry:\n    reply('x')\nexcept OSError:\n    GOTO('tpo')", "did you mean 'top'"),
        ("location(ADDRESS='top')\ntry:\n    GOTO('tpo')\nfinally:\n    x = 1", "did you mean 'top'"),
    ],
)
def test_an_address_that_stands_there_and_is_not_there_is_refused_at_once(body, message):
    with pytest.raises(AddressError, match=message):
        bot(root(body, "import autograms.functional\nx = []"))


SURROUNDINGS = "import contextlib\nname = 'top'\nother = name"


@pytest.mark.parametrize(
    "body",
    [
        "TRANSITION('?', {'yes': 'top', 'no': name})",
        "GOTO(name)",
        "GOTO(f'{name}')",
        "GOTO(*name)",
        "other.GOTO('tpo')",
        "goto = GOTO\ngoto('tpo')",
        "GOTO = print\nGOTO('tpo')",
        "@autograms_function()\ndef inner():\n    location(ADDRESS='tpo')\n    GOTO('tpo')",
        "RETURNTO('tpo')\ndef inner():\n    import json",
        "RETURNTO('tpo')\ninner = lambda: reply('x', ADDRESS=name + 'x')",
    ],
)
def test_what_may_be_right_is_not_refused(body):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bot(root(f"location(ADDRESS='top')\n{body}", SURROUNDINGS))


@pytest.mark.parametrize(
    "body",
    [
        "RETURNTO('tpo')",
        "TRANSITION('?', {'yes': 'top', 'no': 'returnto tpo'})",
        "try:\n    GOTO('tpo')\nexcept Exception:\n    reply('x')",
        "with contextlib.suppress(Exception):\n    GOTO('tpo')",
        "def inner():\n    GOTO('tpo')",
        "inner = lambda: GOTO('tpo')",
    ],
)
def test_what_nothing_in_the_program_has_is_warned_of(body):
    with pytest.warns(UserWarning, match=r"bot\.py:1\d: \w+ to 'tpo': nothing .*did you mean 'top'\?") as seen:
        bot(root(f"location(ADDRESS='top')\n{body}", SURROUNDINGS))
    assert len(seen) == 1


def test_a_helper_jumps_within_its_caller():
    program = root("f()\nreply('not said')\nlocation(ADDRESS='top')\nreply('here')", "def f():\n    GOTO('top')")
    assert replies(program, [None]) == ["here"]


def test_goto_outside_a_decorated_function():
    with pytest.raises(AddressError, match="outside an @autograms_function"):
        bot("def chatbot():\n    GOTO(str('x'))\n").reply()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "location(ADDRESS='a')\nif True:\n    reply('x', ADDRESS='a')",
            r"bot\.py:\d+: the address 'a' is given twice",
        ),
        ("x = 'a'\nlocation(ADDRESS=x)", "ADDRESS=x is no constant"),
        ("location(ADDRESS=f'{1}')", "is no constant"),
        ("location(ADDRESS=5)", "is no constant"),
        ("location(ADDRESS='a' + 'b')", "is no constant"),
        ("try:\n    pass\nexcept ValueError:\n    location(ADDRESS='a')\nlocation(ADDRESS='a')", "given twice"),
        ("yield\nlocation(ADDRESS='a')", "is a generator"),
    ],
)
def test_addresses_are_refused_at_definition(body, message):
    with pytest.raises(AddressError, match=message):
        bot(root(body))


def test_functions_without_addresses_are_not_rewritten():
    program = "def plain():\n    reply('x')\nchatbot = autograms_function()(plain)\n"
    autogram = bot(program)
    assert autogram.program.module.chatbot.__wrapped__ is autogram.program.module.plain
    assert "__autograms_runtime__" not in vars(autogram.program.module)


@pytest.mark.parametrize("keys", [("yes", "no"), ("Yes", "NO"), ("NO", "yEs")])
def test_transition_by_yes_and_no(keys):
    yes = next(key for key in keys if key.lower() == "yes")
    no = next(key for key in keys if key.lower() == "no")
    body = f"""
TRANSITION("go?", {{{keys[0]!r}: {keys[0].lower()!r}, {keys[1]!r}: {keys[1].lower()!r}}})
reply("never")
location(ADDRESS={yes.lower()!r})
reply("went")
location(ADDRESS={no.lower()!r})
reply("stayed")
"""
    autogram = bot(root(body), ["Yes", "No"])
    assert talk(autogram, [None, None, None, "x"])[0] == ["went", "stayed", None, "stayed"]
    assert asked(autogram)[0].choices == ("Yes", "No")


def test_transition_by_other_keys():
    body = "TRANSITION('where?', {'yes': 'a', 'maybe': 'b'})\nreply('A', ADDRESS='a')\nreply('B', ADDRESS='b')"
    autogram = bot(root(body), ["maybe"])
    assert talk(autogram, [None])[0] == ["B"]
    assert asked(autogram)[0].choices == ("yes", "maybe")


def test_a_transition_with_one_key_asks_nothing():
    assert replies(root("TRANSITION('?', {'on': 'a'})\nreply('A', ADDRESS='a')"), [None]) == ["A"]


def test_exit_ends_the_turn_and_goes_on_behind_it():
    program = """
    @autograms_function()
    def inner():
        EXIT({"reply": "bye", "code": 3})
        reply("behind")

    @autograms_function()
    def chatbot():
        reply("hi")
        inner()
        EXIT()
        reply("end")
    """
    assert replies(program, [None] * 5) == ["hi", "bye", "behind", None, "end"]
    autogram = bot(program)
    memory = autogram.apply().memory_object
    result = autogram.apply("x", memory)
    assert (result.reply, result.data) == ("bye", {"reply": "bye", "code": 3})


def test_exit_takes_a_mapping():
    with pytest.raises(Exception, match="expected a mapping"):
        bot(root("EXIT('bye')")).reply()


@pytest.mark.parametrize(
    "call", ["GOTO(str('a'))", "RETURNTO('a')", "EXIT({'reply': 'x'})", "reply('x')", "reply_instruction('x')"]
)
def test_a_supervisor_neither_jumps_nor_ends_the_turn(call):
    program = root(
        "location(ADDRESS='a')\nthought('x', supervisor=sup)",
        f"@autograms_function()\ndef sup(text):\n    {call}\n    return 'out'",
    )
    with pytest.raises(SupervisorError, match="inside a supervisor"):
        bot(program, supervisor_mode=True).reply()
