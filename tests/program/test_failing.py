"""Errors, endless programs, and programs that have changed."""

import asyncio
import gc
import time

import pytest

from autograms import Memory
from autograms.errors import AutogramsError, DivergenceError, EndpointError, ModelError, ProgramError, RunawayError
from tests.programs import SlowModel, asked, bot, comparable, replies, talk, write

CHATTY = """
@autograms_function()
def chatbot():
    total = 0
    while True:
        reply_instruction(f"turn {total}")
        total += 1
        if extract_last_user_reply() == "break":
            thought("about to break")
            raise KeyError("broken")
"""


# ------------------------------------------------------------------------------------------------------- exceptions


def test_an_exception_leaves_the_memory_as_it_was_and_usable():
    autogram = bot(CHATTY, lambda r: r.messages[-1]["content"][-1])
    _, memory = talk(autogram, [None, "a"])
    before = comparable(memory)
    with pytest.raises(KeyError, match="broken"):
        autogram.reply("break", memory)
    assert comparable(memory) == before
    assert talk(autogram, ["b"], memory)[0] == ["2"]


def test_a_model_error_leaves_the_memory_as_it_was_and_usable():
    autogram = bot(CHATTY, ["one", "two"])
    _, memory = talk(autogram, [None, "a"])
    before = comparable(memory)
    with pytest.raises(ModelError, match="no output left"):
        autogram.reply("b", memory)
    assert comparable(memory) == before
    autogram.model._outputs = iter(["three"])
    assert talk(autogram, ["b"], memory)[0] == ["three"]


def test_a_model_error_that_a_program_catches_is_caught_on_replay_too():
    program = """
    @autograms_function()
    def chatbot():
        try:
            reply_instruction("x")
        except Exception as error:
            reply(f"{type(error).__name__}: {error}")
        reply("next")
    """

    def fail(request):
        raise EndpointError("the endpoint is down", 503)

    assert replies(program, [None, "a"], fail) == ["EndpointError: the endpoint is down", "next"]


def test_errors_of_other_kinds_are_replayed_as_they_were():
    program = """
    @autograms_function()
    def chatbot():
        try:
            thought("x")
        except ZeroDivisionError as error:
            reply(str(error))
        reply("next")
    """
    assert replies(program, [None, "a"], lambda request: 1 / 0) == ["division by zero", "next"]


def test_finally_blocks_of_a_dropped_program_record_nothing():
    program = """
    @autograms_function()
    def chatbot():
        try:
            while True:
                reply("x")
                if extract_last_user_reply() == "fail":
                    raise ValueError("failed")
        finally:
            thought("leaving")
            reply("bye")
    """
    autogram = bot(program, lambda r: "thinking")
    _, memory = talk(autogram, [None, "a"])
    before = comparable(memory)
    memory.live = None
    gc.collect()
    assert comparable(memory) == before
    assert asked(autogram) == []
    text, memory = autogram.reply("fail", memory)
    assert text == "bye"
    assert len(asked(autogram)) == 1


def test_an_interrupted_turn_can_be_taken_again():
    autogram = bot(CHATTY, SlowModel(lambda r: r.messages[-1]["content"][-1], lambda r: 5.0 if "1" in str(r) else 0.0))

    async def play():
        _, memory = await autogram.areply(None, Memory())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(autogram.areply("a", memory), 0.05)
        autogram.model.delay = lambda request: 0.0
        return await autogram.areply("a", memory)

    text, memory = asyncio.run(play())
    assert text == "1"
    assert [turn.content for turn in memory.turns] == [None, "0", "a", "1"]


def test_primitives_outside_a_program():
    from autograms.functional import reply

    with pytest.raises(ProgramError, match="works inside a running program only"):
        reply("x")


def test_primitives_in_another_thread():
    program = """
    import threading

    @autograms_function()
    def chatbot():
        found = []
        def work():
            try:
                thought("x")
            except Exception as error:
                found.append(type(error).__name__)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        reply(found[0])
    """
    assert bot(program).reply()[0] == "ProgramError"


# ---------------------------------------------------------------------------------------------------- endless programs


@pytest.mark.parametrize(
    "body",
    [
        "while True:\n        pass",
        "n = 0\n    while True:\n        try:\n            n += 1\n        except Exception:\n            pass",
        "while True:\n        try:\n            sum(range(50))\n        except:\n            pass",
        "def go():\n        while True:\n            [n for n in range(9)]\n    go()",
        "location(ADDRESS='a')\n    GOTO('a')",
    ],
)
def test_a_program_that_runs_on_is_ended(body):
    autogram = bot(
        f"@autograms_function()\ndef chatbot():\n    reply('hi')\n    {body}\n", config={"watchdog_seconds": 0.2}
    )
    _, memory = talk(autogram, [None])
    before = comparable(memory)
    started = time.monotonic()
    with pytest.raises(RunawayError, match=r"ran for 0\.2 s with neither a reply nor a model call"):
        autogram.reply("x", memory)
    assert time.monotonic() - started < 30
    assert comparable(memory) == before


def test_the_others_go_on_while_one_is_ended():
    endless = bot("def chatbot():\n    while True:\n        pass\n", config={"watchdog_seconds": 0.2})
    sound = bot(CHATTY, SlowModel(lambda r: "fine", lambda r: 0.01))

    async def play():
        return await asyncio.gather(endless.areply(), sound.areply(), return_exceptions=True)

    failed, (text, _) = asyncio.run(play())
    assert isinstance(failed, RunawayError)
    assert text == "fine"


@pytest.mark.parametrize("running", ["reply", "areply"])
def test_an_endless_branch_is_ended(running):
    program = """
    def work(n):
        thought("x")
        while n == 1:
            pass

    @autograms_function()
    def chatbot():
        try:
            parallel_wrapper(work, [{"n": n} for n in range(3)])
        except Exception:
            reply("swallowed")
    """
    autogram = bot(program, lambda r: "x", config={"watchdog_seconds": 0.2})
    with pytest.raises(RunawayError):
        autogram.reply() if running == "reply" else asyncio.run(autogram.areply())


@pytest.mark.parametrize("handler", ["except ZeroDivisionError:", "except Exception:", "except:"])
def test_a_turn_that_never_stops_calling_is_ended(handler):
    program = f"""
    @autograms_function()
    def chatbot():
        while True:
            try:
                thought("x")
            {handler}
                pass
    """
    autogram = bot(program, lambda r: "x", config={"max_calls_per_turn": 20, "watchdog_seconds": 1.0})
    with pytest.raises(RunawayError):
        autogram.reply()
    assert len(asked(autogram)) == 20


def test_the_limit_on_calls_is_for_one_turn():
    program = "@autograms_function()\ndef chatbot():\n    while True:\n        thought('x')\n        reply('y')\n"
    autogram = bot(program, lambda r: "x", config={"max_calls_per_turn": 1})
    assert talk(autogram, [None, "a", "b"], saving=True)[0] == ["y"] * 3


def test_no_limit_on_calls():
    program = "def chatbot():\n    for n in range(300):\n        thought('x')\n    reply('done')\n"
    assert bot(program, lambda r: "x", config={"max_calls_per_turn": 0}).reply()[0] == "done"


def test_no_watchdog():
    program = "import time\ndef chatbot():\n    time.sleep(0.3)\n    reply('done')\n"
    assert bot(program, config={"watchdog_seconds": 0}).reply()[0] == "done"


# ------------------------------------------------------------------------------------------------------- divergence

BEFORE = """
@autograms_function()
def inner():
    reply("inner", ADDRESS="in")
    return "kept"

@autograms_function()
def chatbot(name="?"):
    thought("first thought")
    choice = multiple_choice("which?", ["a", "b"])
    reply("hello", ADDRESS="greeting")
    inner(ADDRESS="call")
    reply_instruction("bye " + name, ADDRESS="bye")
"""


def answer(request):
    return request.choices[0] if request.choices else "said " + request.messages[-1]["content"].split()[-1]


def changed(old, new, users, **options):
    """Return the autogram of a changed program, and a memory of the original."""
    assert old in BEFORE
    _, memory = talk(bot(BEFORE, answer), users, name="Ann")
    changed_bot = bot(BEFORE.replace(old, new), answer, **options)
    return changed_bot, changed_bot.deserialize(changed_bot.serialize(memory))


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('thought("first thought")', 'thought("second thought")', ["call 1", "'Instruction: first thought'", "second"]),
        ('thought("first', 'silent_thought("first', ["call 1", "thought", "silent_thought"]),
        ('"which?"', '"who?"', ["call 2", "multiple_choice", "which?", "who?"]),
        ('["a", "b"]', '["a", "c"]', ["call 2", "['a', 'c']"]),
        ('"hello"', '"hi"', ["turn 2", "reply 'hello'", "reply 'hi'"]),
        ('thought("first thought")', "pass", ["call 1", "first thought", "multiple_choice"]),
        ('reply("hello", ADDRESS="greeting")', 'reply("hello", ADDRESS="greeting"); thought("more")', ["more"]),
        ('choice = multiple_choice("which?", ["a", "b"])', "return", ["nothing: the program ends here"]),
        ('    reply("hello", ADDRESS="greeting")\n', "", ["turn 2", "reply 'hello'", "reply 'inner'"]),
    ],
)
def test_a_changed_program_is_one_clear_error(old, new, parts):
    autogram, memory = changed(old, new, [None, "x"])
    before = comparable(memory)
    with pytest.raises(DivergenceError) as caught:
        autogram.reply("y", memory)
    for part in [*parts, "the program of bot has changed", ":", "on_change"]:
        assert part in str(caught.value)
    assert comparable(memory) == before
    assert asked(autogram) == []


def test_the_error_names_the_line():
    autogram, memory = changed('thought("first', 'thought("other', [None])
    with pytest.raises(DivergenceError, match=r"chatbot:16.*recorded thought .* at chatbot:16"):
        autogram.reply("y", memory)


@pytest.mark.parametrize("handler", ["except Exception:", "except BaseException:", "except:"])
def test_a_program_cannot_swallow_that_it_has_changed(handler):
    def program(text):
        return f"""
        @autograms_function()
        def chatbot():
            try:
                thought("{text}")
            {handler}
                pass
            reply("hi")
            reply("there")
        """

    _, memory = talk(bot(program("one"), answer), [None])
    with pytest.raises(DivergenceError):
        bot(program("two"), answer).reply("x", Memory.from_dict(memory.to_dict()))


def test_what_has_not_been_asked_yet_may_change():
    autogram, memory = changed('"bye "', '"farewell "', [None, "x"])
    assert talk(autogram, ["y"], memory, name="Ann")[0] == ["said Ann"]
    assert "farewell" in asked(autogram)[0].messages[-1]["content"]


def test_resume_at_an_address():
    autogram, memory = changed('"hello"', '"hi"', [None], on_change="address")
    spoken, memory = talk(autogram, ["x", "y"], memory)
    assert spoken == ["inner", "said Ann"]
    sent = autogram.model.requests[0].messages
    assert [message["content"].split("\n")[0] for message in sent] == ["hello", "x", "inner", "y"]


def test_resume_at_an_address_in_a_called_function():
    autogram, memory = changed('thought("first thought")', 'thought("other")', [None, "x"], on_change="address")
    assert talk(autogram, ["y"], memory)[0] == ["said Ann"]


def test_resume_at_an_address_behind_a_generated_reply():
    autogram, memory = changed('thought("first thought")', 'thought("other")', [None, "x", "y"], on_change="address")
    assert talk(autogram, ["z", None], memory)[0] == [None, "hello"]
    assert "bye" not in str(autogram.model.requests[0])


def test_a_memory_that_moved_resumes_like_any_other():
    autogram, memory = changed('"hello"', '"hi"', [None], on_change="address")
    spoken, memory = talk(autogram, ["x", "y", "z", None], memory, saving=True)
    assert spoken == ["inner", "said Ann", None, "hi"]
    assert len(asked(autogram)) == 3
    assert [turn.role for turn in memory.turns].count("moved") == 1


def test_an_address_in_a_loop():
    program = """
    @autograms_function()
    def chatbot():
        reply("{first}")
        for n in [1, 2]:
            if n:
                reply(f"n {{n}}", ADDRESS="loop")
                reply(f"after {{n}}")
    """
    _, memory = talk(bot(program.format(first="a")), [None, "x"])
    resumed = bot(program.format(first="b"), on_change="address")
    assert talk(resumed, ["y", None, None], memory)[0] == ["after 1", "n 2", "after 2"]


def test_an_address_on_a_statement_that_says_nothing_any_more():
    program = "@autograms_function()\ndef chatbot():\n    reply('{}')\n    {}(ADDRESS='here')\n    reply('next')\n"
    _, memory = talk(bot(program.format("a", "reply('there', ").replace("('there', (", "('there', ")), [None, "x"])
    resumed = bot(program.format("b", "location"), on_change="address")
    assert talk(resumed, ["y"], memory)[0] == ["next"]


@pytest.mark.parametrize("left", ["raise ValueError('x')", "pass"])
def test_an_address_is_not_left_behind_by_its_statement(left):
    program = f"""
    @autograms_function()
    def part():
        {left}

    @autograms_function()
    def chatbot():
        try:
            part(ADDRESS="stale")
        except ValueError:
            pass
        reply("here")
    """
    _, memory = talk(bot(program), [None])
    assert memory.turns[-1].address is None


def test_an_address_of_a_condition():
    program = """
    @autograms_function()
    def ask(n):
        reply(f"asked {n}", ADDRESS="ask")
        return n < 2

    @autograms_function()
    def chatbot():
        n = 0
        while ask(n, ADDRESS="loop"):
            n += 1
            reply("in")
        if ask(8, ADDRESS="if"):
            pass
    """
    _, memory = talk(bot(program), [None] * 6)
    addresses = [turn.address for turn in memory.turns if turn.role == "assistant"]
    assert addresses == ["loop > ask", None, "loop > ask", None, "loop > ask", "if > ask"]


def test_no_address_to_resume_at():
    program = "@autograms_function()\ndef chatbot():\n    reply('{}')\n    reply('x')\n"
    _, memory = talk(bot(program.format("a")), [None, "x"])
    resumed = bot(program.format("b"), on_change="address")
    before = comparable(memory)
    with pytest.raises(DivergenceError, match="carries no ADDRESS"):
        resumed.reply("y", memory)
    assert comparable(memory) == before


def test_other_supervisor_mode_on_resume():
    program = """
    def sup(text):
        return "supervised " + silent_thought("nested") + silent_thought("deeper", supervisor=sub)

    def sub(text):
        return silent_thought("deepest")

    @autograms_function()
    def chatbot():
        found = thought("main", supervisor=sup)
        reply(found)
        reply(thought("again", supervisor=sup))
    """
    path = write(program)
    supervised, plain = bot(path, answer, supervisor_mode=True), bot(path, answer)
    _, memory = talk(supervised, [None])
    assert talk(plain, ["x"], memory)[0] == ["said again"]
    _, memory = talk(plain, [None])
    before = [call.supervised for call in memory.calls]
    assert talk(supervised, ["x"], memory)[0] == ["supervised said nestedsaid deepest"]
    assert [call.supervised for call in memory.calls][:1] == before


def test_every_error_is_ours():
    assert issubclass(RunawayError, AutogramsError)
