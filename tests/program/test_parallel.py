"""parallel_wrapper and step: live, under replay, and in any order of answers."""

import asyncio

import pytest

from autograms import Memory
from autograms.errors import ProgramError
from tests.programs import SlowModel, asked, bot, comparable, replies, talk, write

BRANCHES = """
def sup(text):
    return SupervisorReturn("good " + silent_thought("nested " + text), tags=["t"])

@autograms_function()
def work(n, deep=False):
    set_system_prompt(f"branch {n}")
    first = thought(f"thought {n}", supervisor=sup)
    rolled = random.randrange(10**6)
    if deep:
        return [first, rolled, parallel_wrapper(work, [{"n": f"{n}.{k}"} for k in range(2)])]
    second = silent_thought(f"more {n} {step(str.upper, 'x')}")
    return [first, second, rolled]

@autograms_function()
def chatbot():
    reply("hi")
    found = parallel_wrapper(work, [{"n": n, "deep": n == 1} for n in range(3)])
    again = parallel_wrapper(work, [{"n": "again"}])
    silent_thought("behind")
    reply(str(found) + str(again) + str(random.random()))
    reply("end")
"""


def answer(request):
    return "<" + request.messages[-1]["content"].split(": ")[-1] + ">"


@pytest.mark.parametrize("supervisor_mode", [True, False])
def test_branches_live_and_replayed(supervisor_mode):
    path = write(BRANCHES)
    spoken = replies(path, [None, "a", "b"], answer, supervisor_mode=supervisor_mode)
    assert spoken[2] == "end"
    assert "thought 1.0" in spoken[1]


@pytest.mark.parametrize("supervisor_mode", [True, False])
def test_the_record_is_the_same_whatever_answers_first(supervisor_mode):
    path = write(BRANCHES)

    def play(delay, running):
        autogram = bot(path, SlowModel(answer, delay), supervisor_mode=supervisor_mode)
        if running:
            memory = Memory(seed=3)
            for text in (None, "a", "b"):
                _, memory = asyncio.run(autogram.areply(text, memory))
            return memory
        return talk(autogram, [None, "a", "b"], Memory(seed=3))[1]

    ways = [lambda r: 0.0, lambda r: 0.02 if "thought 0" in str(r.messages) else 0.0, lambda r: len(str(r)) % 7 / 300]
    memories = [comparable(play(way, running)) for way in ways for running in (True, False)]
    assert all(memory == memories[0] for memory in memories)


def test_a_branch_sees_the_history_and_adds_none():
    autogram = bot(BRANCHES, answer)
    _, memory = talk(autogram, [None, "a"])
    behind = next(call for call in memory.calls if "behind" in memory.messages[call.prompt.ask][1])
    assert [m["content"] for m in memory.prompt_messages(behind.prompt)] == ["hi", "a\n\nInstruction: behind"]
    first = memory.prompt_messages(memory.calls[0].prompt)
    assert [m["content"] for m in first] == ["branch 0", "hi", "a\n\nInstruction: thought 0"]


def test_an_error_comes_when_every_branch_is_done():
    program = """
    def work(n):
        found = silent_thought(f"w{n}")
        if n == 1:
            raise KeyError("one")
        return found + silent_thought(f"again {n}")

    @autograms_function()
    def chatbot():
        try:
            parallel_wrapper(work, [{"n": n} for n in range(3)])
        except KeyError as error:
            reply(str(error))
        reply("next")
    """
    assert replies(program, [None, "a"], answer) == ["'one'", "next"]
    autogram = bot(program, answer)
    talk(autogram, [None])
    assert len(asked(autogram)) == 5


def test_a_model_error_in_a_branch():
    program = """
    def work(n):
        try:
            return silent_thought(f"w{n}")
        except ZeroDivisionError:
            return "failed"

    @autograms_function()
    def chatbot():
        reply(str(parallel_wrapper(work, [{"n": n} for n in range(3)])))
        reply("next")
    """

    def fail(request):
        return 1 // 0 if "w1" in str(request.messages) else "fine"

    assert replies(program, [None, "a"], fail) == ["['fine', 'failed', 'fine']", "next"]


def test_branches_side_by_side():
    program = """
    def work(n):
        return silent_thought(f"w{n}")

    @autograms_function()
    def chatbot():
        reply(str(len(parallel_wrapper(work, [{"n": n} for n in range(20)]))))
    """
    running = most = 0

    class Counting(SlowModel):
        async def complete(self, request):
            nonlocal running, most
            running += 1
            most = max(most, running)
            reply = await super().complete(request)
            running -= 1
            return reply

    assert bot(program, Counting(answer, lambda r: 0.01)).reply()[0] == "20"
    assert most == 20


def test_parallel_inside_a_supervisor():
    program = """
    def sup(text):
        return " ".join(parallel_wrapper(silent, [{"text": "a"}, {"text": "b"}]))

    def silent(text):
        return silent_thought(text)

    @autograms_function()
    def chatbot():
        reply(thought("main", supervisor=sup))
        reply("next")
    """
    assert replies(program, [None, "x"], answer, supervisor_mode=True) == ["<a> <b>", "next"]
    _, memory = talk(bot(program, answer, supervisor_mode=True), [None])
    assert [(call.parent, call.trains) for call in memory.calls] == [(None, True), (0, False), (0, False)]


@pytest.mark.parametrize("said", ["reply('x')", "reply_instruction('x')", "EXIT()", "GOTO('top')"])
def test_a_branch_does_not_end_the_turn(said):
    program = f"""
    def work():
        {said}

    @autograms_function()
    def chatbot():
        location(ADDRESS="top")
        parallel_wrapper(work, [{{}}])
    """
    with pytest.raises(ProgramError, match=r"inside parallel_wrapper|outside an @autograms_function"):
        bot(program, answer).reply()


def test_no_branches():
    assert replies("def chatbot():\n    reply(str(parallel_wrapper(print, [])))\n", [None]) == ["[]"]


def test_memory_lists_are_refused():
    with pytest.raises(ProgramError, match="mem_list"):
        bot("def chatbot():\n    parallel_wrapper(print, [], mem_list=[1])\n").reply()


# ------------------------------------------------------------------------------------------------------------- step


def test_a_step_runs_once(tmp_path):
    program = f"""
    def look():
        with open({str(tmp_path / "count")!r}, "a") as file:
            return file.write("x")

    @autograms_function()
    def chatbot():
        step(look)
        reply("a")
        reply("b")
    """
    autogram = bot(program)
    assert talk(autogram, [None, "x", "y"], saving=True)[0] == ["a", "b", None]
    assert (tmp_path / "count").read_text() == "x"


@pytest.mark.parametrize("value", ["None", "[1, 2.5, 'x', {'a': True}]", "float('inf')", "(1, 2)", "{1: 2}"])
def test_a_step_returns_the_same_live_and_replayed(value):
    program = f"def chatbot():\n    found = step(lambda: {value})\n    reply(repr(found))\n    reply(repr(found))\n"
    first, second = replies(program, [None, "x"])
    assert first == second


def test_a_step_runs_off_the_event_loop_with_its_arguments():
    program = """
    import threading
    def where(a, b=0):
        return [threading.current_thread() is threading.main_thread(), a + b]
    def chatbot():
        reply(str(step(where, 1, b=2)))
    """
    assert asyncio.run(bot(program).areply())[0] == "[False, 3]"


def test_a_step_result_that_is_no_plain_data():
    with pytest.raises(ProgramError, match=r"the result of step\(object\) is no plain data"):
        bot("def chatbot():\n    step(object)\n").reply()


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        ("ValueError('bad')", "ValueError: bad"),
        ("KeyError('k')", "KeyError: 'k'"),
        ("ToolError('own')", "ToolError: own"),
        ("json.JSONDecodeError('m', 'doc', 0)", "ValueError: m: line 1 column 1 (char 0)"),
        ("subprocess.TimeoutExpired('cmd', 3)", "SubprocessError: Command 'cmd' timed out after 3 seconds"),
        ("Needs(1, 2)", "ToolError: (1, 2)"),
    ],
)
def test_a_failed_step_fails_the_same_way_on_replay(raised, caught):
    program = f"""
    import json, subprocess

    class ToolError(RuntimeError):
        pass

    class Needs(ToolError):
        def __init__(self, a, b):
            super().__init__(a, b)

    def tool():
        raise {raised}

    @autograms_function()
    def chatbot():
        try:
            step(tool)
        except Exception as error:
            found = f"{{type(error).__name__}}: {{error}}"
        reply(found)
        reply(found)
    """
    assert replies(program, [None, "x"]) == [caught, caught]


def test_a_step_of_another_name_diverges():
    program = "def a():\n    return 1\ndef b():\n    return 1\ndef chatbot():\n    step({})\n    reply('x')\n"
    _, memory = talk(bot(program.format("a")), [None])
    with pytest.raises(Exception, match=r"recorded step 'a'.*now asks step 'b'"):
        bot(program.format("b")).reply("x", memory)


def test_steps_inside_a_supervisor_are_nested():
    program = """
    def sup(text):
        return step(str.upper, "found")

    def chatbot():
        reply(thought("x", supervisor=sup))
        reply("next")
    """
    assert replies(program, [None, "x"], supervisor_mode=True) == ["FOUND", "next"]


def test_errors_in_a_supervisor_leave_everything_as_it_was():
    program = """
    @autograms_function(conv_scope="local")
    def sup(text):
        set_system_prompt("inner")
        thought("inner")
        raise ValueError("no")

    @autograms_function()
    def chatbot():
        set_system_prompt("outer")
        try:
            thought("main", supervisor=sup)
        except ValueError:
            reply_instruction("behind")
        reply("next")
    """
    autogram = bot(program, answer, supervisor_mode=True)
    assert talk(autogram, [None, "x"], saving=True)[0] == ["<behind>", "next"]
    assert [m["content"] for m in asked(autogram)[-1].messages] == ["outer", "Instruction: behind"]


def test_a_supervisor_that_is_no_function():
    with pytest.raises(ProgramError, match="is not a function"):
        bot("def chatbot():\n    thought('x', supervisor='me')\n", supervisor_mode=True).reply()
