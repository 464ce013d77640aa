"""Programs whose model calls tools: what is sent, what is recorded, what a resumed program meets."""

import ast
import json

import pytest

from autograms.errors import DivergenceError, OutputError, ProgramError, RunawayError, ToolCallError
from tests.programs import asked, bot, comparable, replies, talk, write

TOOLS = '''
import pathlib

RUNS = []

def lookup(order: int) -> dict:
    """Look an order up."""
    RUNS.append(order)
    if order > 10:
        raise LookupError(f"no order {order}")
    return {"order": order, "status": "shipped"}

async def clock() -> str:
    """Tell the time."""
    RUNS.append("clock")
    return "noon"
'''
HELPER = (
    TOOLS
    + """
@autograms_function()
def chatbot():
    set_system_prompt("You help.")
    reply("Hello.")
    while True:
        reply_instruction("Help.", tools=[lookup, clock])
        silent_thought("Sum up.")
"""
)


def calls(*tools, content=None):
    return {"tool_calls": [{"name": name, "arguments": arguments} for name, arguments in tools], "content": content}


ONE = [calls(("lookup", {"order": 7})), "It is shipped.", "sum"]


def runs(autogram):
    return autogram.program.module.RUNS


def roles(request):
    return [message["role"] for message in request.messages]


def test_results_go_back_until_the_model_answers():
    autogram = bot(write(HELPER), [calls(("lookup", {"order": 7}), ("clock", {})), calls(("clock", {})), "Shipped."])
    spoken, memory = talk(autogram, [None, "where is 7?"])
    assert spoken == ["Hello.", "Shipped."]
    assert runs(autogram) == [7, "clock", "clock"]
    first, second, third = asked(autogram)
    assert [tool["function"]["name"] for tool in first.params["tools"]] == ["lookup", "clock"]
    assert roles(first) == ["system", "assistant", "user"]
    assert second.messages[:3] == first.messages
    called = second.messages[3]
    assert (called["role"], called["content"]) == ("assistant", None)
    assert called["tool_calls"][0]["type"] == "function"
    assert called["tool_calls"][0]["function"] == {"name": "lookup", "arguments": '{"order": 7}'}
    ids = [call["id"] for call in called["tool_calls"]]
    assert len(set(ids)) == 2
    assert second.messages[4:] == [
        {"role": "tool", "content": '{"order": 7, "status": "shipped"}', "tool_call_id": ids[0]},
        {"role": "tool", "content": "noon", "tool_call_id": ids[1]},
    ]
    assert third.messages[:6] == second.messages
    assert roles(third)[6:] == ["assistant", "tool"]
    kinds = [(call.primitive, call.kind) for call in memory.calls]
    asks, runs_tool = ("reply_instruction", "tool_calls"), ("tool", "step")
    assert kinds == [asks, runs_tool, runs_tool, asks, runs_tool, ("reply_instruction", "text")]
    assert memory.prompt_messages(memory.calls[-1].prompt) == third.messages


def test_later_prompts_hold_what_a_reply_and_a_thought_called():
    program = (
        TOOLS
        + """
def chatbot():
    thought("Think.", tools=[lookup])
    silent_thought("Quietly.", tools=[clock])
    reply_suffix("Bye.", tools=[clock])
    silent_thought("End.")
    reply("over")
"""
    )
    outputs = [calls(("lookup", {"order": 1})), "a", calls(("clock", {})), "b", calls(("clock", {})), "c", "d"]
    autogram = bot(write(program), outputs)
    talk(autogram, ["hi", "so?"])
    said = [(m["role"], m["content"]) for m in asked(autogram)[-1].messages]
    assert said == [
        ("user", "hi\n\nInstruction: Think."),
        ("assistant", None),
        ("tool", '{"order": 1, "status": "shipped"}'),
        ("assistant", "a"),
        ("assistant", None),
        ("tool", "noon"),
        ("assistant", "c Bye."),
        ("user", "so?\n\nInstruction: End."),
    ]


@pytest.mark.parametrize(
    "call", ["call_llm('q', tools=T)", "call_completion('q', tools=T)[0]", "call_chat_completion(M, tools=T)[0]"]
)
def test_direct_calls_take_tools(call):
    program = (
        TOOLS
        + f"""
T, M = [clock], [{{"role": "system", "content": "s"}}, {{"role": "user", "content": "q"}}]
def chatbot():
    reply({call})
    reply(silent_thought("Behind."))
"""
    )
    autogram = bot(write(program), [calls(("clock", {})), "noon it is", "x"])
    assert talk(autogram, ["hi", "so?"])[0] == ["noon it is", "x"]
    assert roles(asked(autogram)[1])[-3:] == ["user", "assistant", "tool"]
    assert roles(asked(autogram)[2]) == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("called", "content"),
    [
        (("look", {}), "Error: there is no tool 'look'; did you mean 'lookup'?; the tools are: lookup, clock"),
        (
            ("lookup", {"order": "x"}),
            "Error: lookup() was called with wrong arguments: order: Input should be a valid integer, "
            "unable to parse string as an integer",
        ),
        (("lookup", {"order": 11}), "Error: LookupError: no order 11"),
    ],
)
def test_what_went_wrong_goes_back_to_the_model(called, content):
    autogram = bot(write(HELPER), [calls(called), "Sorry."])
    spoken, memory = talk(autogram, [None, "hm"])
    assert spoken[-1] == "Sorry."
    assert asked(autogram)[1].messages[-1]["content"] == content
    (step,) = [call for call in memory.calls if call.primitive == "tool"]
    assert step.error is not None
    assert step.error.split(": ", 1)[-1] in content
    refused = called[1].get("order") != 11
    assert memory.calls[0].trains is not refused  # a call that was refused is nothing to learn


def test_arguments_that_are_no_json_go_back_too():
    autogram = bot(write(HELPER), [calls(("lookup", '{"order": ')), "Sorry."])
    talk(autogram, [None, "hm"])
    assert "arguments: Invalid JSON" in asked(autogram)[1].messages[-1]["content"]


def test_a_program_that_resumes_repeats_neither_calls_nor_runs():
    outputs = [*ONE, calls(("lookup", {"order": 11}), ("nothing", {}), content="Wait."), "Sorry.", "sum"]
    assert replies(HELPER, [None, "7?", "11?"], outputs) == ["Hello.", "It is shipped.", "Sorry."]
    path = write(HELPER)
    saving = bot(path, [*outputs, "last"])
    _, memory = talk(saving, [None, "7?", "11?", "and?"], saving=True)
    resumed = bot(path, [])
    resumed.attach(resumed.deserialize(resumed.serialize(memory)))
    assert asked(resumed) == []
    assert runs(resumed) == []


def test_tools_in_branches_and_in_supervisors_resume_too():
    program = (
        TOOLS
        + """
def sup(instruction):
    return silent_thought("Nested.", tools=[clock]) + "!"

def part(n):
    return thought(f"Part {n}.", tools=[lookup])

def chatbot():
    reply(str(parallel_wrapper(part, [{"n": 1}, {"n": 2}])))
    reply(thought("Supervised.", supervisor=sup))
    reply_instruction("Both.", tools=[lookup], supervisor=sup)
    reply("end")
"""
    )

    def answer(request):
        if request.params.get("tools") and request.messages[-1]["role"] != "tool":
            name = request.params["tools"][0]["function"]["name"]
            return calls((name, {"order": 3} if name == "lookup" else {}))
        return str(len(request.messages))

    spoken = replies(program, ["a", "b", "c", "d"], answer, supervisor_mode=True)
    assert spoken[-1] == "end"
    assert replies(program, ["a", "b", "c", "d"], answer)[-1] == "end"


def test_the_supervisor_gives_the_answer_behind_the_tools():
    program = (
        TOOLS
        + """
def sup(instruction, tone):
    return SupervisorReturn(silent_thought("Formally."), rejected_output="nah", score=0.5, tags=["formal"])

def chatbot():
    reply_instruction("Help.", tools=[lookup], max_tool_rounds=3, supervisor=sup, supervisor_kwargs={"tone": "calm"})
    reply_instruction("More.")
"""
    )
    outputs = [calls(("lookup", {"order": 7})), "own words", "It has been dispatched.", "later"]
    path = write(program)
    autogram = bot(path, outputs, supervisor_mode=True)
    spoken, memory = talk(autogram, ["7?", "ok"])
    assert spoken == ["It has been dispatched.", "later"]
    called, _, draft, answer, nested, _ = memory.calls
    assert (called.kind, called.supervised, called.trains) == ("tool_calls", False, True)
    assert (draft.kind, draft.output, draft.trains) == ("draft", "own words", False)
    assert (answer.supervised, answer.output, answer.rejected) == (True, "It has been dispatched.", ("nah",))
    assert answer.score == 0.5
    assert answer.trains
    assert memory.prompt_messages(answer.prompt) == asked(autogram)[1].messages
    assert json.loads(answer.params)["tools"] == asked(autogram)[0].params["tools"]
    assert roles(asked(autogram)[2]) == ["user", "assistant", "tool", "user"]  # the supervisor sees what the tools gave
    assert nested.parent == 3
    assert roles(asked(autogram)[3]) == ["user", "assistant", "tool", "assistant", "user"]
    deployed = bot(path, [outputs[0], answer.output, "later"])
    talk(deployed, ["7?", "ok"])
    own = [memory.prompt_messages(call.prompt) for call in memory.calls if call.trains]
    assert own == [request.messages for request in asked(deployed)]
    without = bot(path, [])
    assert talk(without, [], without.deserialize(autogram.serialize(memory)))[0] == []
    without.attach(without.deserialize(autogram.serialize(memory)))


def test_a_model_that_never_answers():
    autogram = bot(write(HELPER.replace("clock])", "clock], max_tool_rounds=2)")), lambda request: calls(("clock", {})))
    _, memory = talk(autogram, [None])
    with pytest.raises(
        OutputError, match=r"called tools in 3 rounds and gave no answer \(last: clock\).*max_tool_rounds=2"
    ):
        autogram.reply("hm", memory)
    assert runs(autogram) == ["clock", "clock"]


def test_a_program_that_goes_on_behind_such_a_model_resumes():
    program = (
        TOOLS
        + """
def chatbot():
    try:
        thought("q", tools=[clock], max_tool_rounds=1)
    except Exception as error:
        reply(f"{type(error).__name__}")
    reply("end")
"""
    )
    assert replies(program, ["a", "b"], lambda request: calls(("clock", {}))) == ["OutputError", "end"]


@pytest.mark.parametrize("written", ['<tool_call>{"name": "clock"', "Wait. <tool_call>{torn</tool_call>"])
def test_a_call_that_cannot_be_read_is_no_answer(written):
    program = TOOLS + "def chatbot():\n    reply_instruction('Go.', tools=[clock])\n"
    with pytest.raises(OutputError, match=r"reply_instruction at .*:\d+: the model wrote a call .* cannot be read"):
        bot(program, [written]).reply("hi")
    with pytest.raises(OutputError, match="cannot be read"):  # behind a call that was
        bot(program, [calls(("clock", {})), written]).reply("hi")
    assert replies(program.replace(", tools=[clock]", ""), ["hi"], [written]) == [written]


def test_a_program_that_goes_on_behind_a_torn_call_resumes():
    program = (
        TOOLS
        + """
def chatbot():
    try:
        thought("q", tools=[clock])
    except Exception as error:
        reply(f"{type(error).__name__}")
    reply("end")
"""
    )
    assert replies(program, ["a", "b"], lambda request: "<tool_call>{torn</tool_call>") == ["OutputError", "end"]


@pytest.mark.parametrize(("rounds", "problem"), [(0, "max_tool_rounds=0"), ("x", "max_tool_rounds='x'")])
def test_limits_that_are_none(rounds, problem):
    with pytest.raises(ToolCallError, match=problem):
        bot(TOOLS + f"def chatbot():\n    thought('q', tools=[clock], max_tool_rounds={rounds!r})\n").reply()


def test_rounds_count_towards_the_calls_of_a_turn():
    autogram = bot(
        HELPER.replace("clock])", "clock], max_tool_rounds=99)"),
        lambda request: calls(("clock", {})),
        config={"max_calls_per_turn": 20},
    )
    _, memory = talk(autogram, [None])
    with pytest.raises(RunawayError, match="20 calls in one turn"):
        autogram.reply("hm", memory)


def test_a_forced_choice_is_forced_once():
    program = TOOLS + 'def chatbot():\n    reply_instruction("Go.", tools=[clock], tool_choice="required")\n'
    autogram = bot(program, [calls(("clock", {})), "noon"])
    talk(autogram, ["hi"])
    assert [request.params.get("tool_choice") for request in asked(autogram)] == ["required", None]


def test_a_choice_takes_no_tools():
    with pytest.raises(ToolCallError, match=r"chatbot:\d+: yes_or_no\(\) takes no tools"):
        bot(TOOLS + "def chatbot():\n    yes_or_no('q', tools=[clock])\n").reply()


def test_tools_that_are_described_only():
    tool = {"type": "function", "function": {"name": "far", "parameters": {"type": "object"}}}
    program = f"def chatbot():\n    reply_instruction('Go.', tools=[{tool!r}])\n"
    autogram = bot(program, ["text"])
    assert talk(autogram, ["hi"])[0] == ["text"]
    assert asked(autogram)[0].params["tools"] == [tool]
    with pytest.raises(OutputError, match=r"calls far\(\), which is described only; give Python functions"):
        bot(program, [calls(("far", {}))]).reply("hi")


def test_tools_that_the_configuration_offers_are_not_run():
    tool = {"type": "function", "function": {"name": "far", "parameters": {"type": "object"}}}
    config = {"chatbot_generation_args": {"tools": [tool]}}
    with pytest.raises(OutputError, match="the model called tools, where a text was asked for"):
        bot("def chatbot():\n    reply_instruction('Go.')\n", [calls(("far", {}))], config=config).reply("hi")


def test_a_tool_cannot_use_primitives():
    program = """
def asks() -> str:
    return silent_thought("q")

def chatbot():
    reply_instruction("Go.", tools=[asks])
"""
    with pytest.raises(ProgramError, match="works inside a running program only"):
        bot(program, [calls(("asks", {}))]).reply("hi")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Look an order up.", "Look something up.", r"call 1 .*now asks the same with other tools.*lookup, clock"),
        (
            "tools=[lookup, clock]",
            "tools=[clock]",
            r"call 1 .*with other tools, or other descriptions of them \(clock\)",
        ),
        (", tools=[lookup, clock]", "", r"call 1 .*now asks the same without tools"),
    ],
)
def test_a_changed_program_diverges(old, new, problem):
    autogram = bot(write(HELPER), ONE)
    _, memory = talk(autogram, [None, "7?"])
    saved = autogram.serialize(memory)
    changed = bot(write(HELPER.replace(old, new)), ["x"] * 9)
    with pytest.raises(DivergenceError, match=problem):
        changed.reply("and?", changed.deserialize(saved))


def test_a_tool_whose_body_changed_is_not_run_again():
    autogram = bot(write(HELPER), ONE)
    _, memory = talk(autogram, [None, "7?"])
    changed = bot(write(HELPER.replace('"shipped"', '"lost"')), ["sum", "x", "y"])
    _, resumed = talk(changed, ["and?"], changed.deserialize(autogram.serialize(memory)))
    assert comparable(resumed)["calls"][: len(memory.calls)] == comparable(memory)["calls"]
    assert runs(changed) == []


def test_the_transcript_is_in_the_chat_apis_form():
    _, memory = talk(bot(write(HELPER), ONE), [None, "7?"])
    hello, user, called, result, answer = memory.transcript()
    assert (hello["content"], user["content"], answer["content"]) == ("Hello.", "7?", "It is shipped.")
    assert called["tool_calls"][0]["function"]["name"] == "lookup"
    assert result == {
        "role": "tool",
        "content": '{"order": 7, "status": "shipped"}',
        "tool_call_id": called["tool_calls"][0]["id"],
    }


def test_the_turn_history_shows_calls_or_leaves_them_out():
    program = (
        TOOLS
        + """
def chatbot():
    reply_instruction("Help.", tools=[lookup])
    thought("Think.", tools=[clock])
    inputs, outputs, _ = get_turn_history(conv_only=False)
    short, said, _ = get_turn_history(conv_only=True)
    reply(repr([inputs, outputs, short, said]))
"""
    )
    autogram = bot(write(program), [calls(("lookup", {"order": 7})), "Shipped.", calls(("clock", {})), "hm"])
    inputs, outputs, short, said = ast.literal_eval(talk(autogram, ["7?", "ok"])[0][-1])
    assert outputs == ["calls lookup(order=7)", "Shipped.", "calls clock()", "hm"]
    assert inputs == ["7?", '{"order": 7, "status": "shipped"}', "ok\n\nInstruction: Think.", "noon", ""]
    assert (short, said) == (["7?", "ok"], ["Shipped."])
