"""What a model call sees: scopes, the system prompt, logged thoughts, max_turns."""

import pytest

from tests.programs import asked, bot, said, talk

ECHO = lambda request: "re " + request.messages[-1]["content"].split()[-1]  # noqa: E731

SCOPED = """
@autograms_function({scope})
def part():
    reply_instruction("inner")
    silent_thought("aside")

@autograms_function()
def chatbot():
    reply("hello")
    part()
    silent_thought("after")
    reply("end " + str(len(extract_full_conv_history())))
"""


@pytest.mark.parametrize(
    ("scope", "inner", "aside", "after"),
    [
        ("", ["hello", "a"], ["hello", "a", "re inner", "b"], ["hello", "a", "re inner", "b"]),
        ("conv_scope='normal'", ["hello", "a"], ["hello", "a", "re inner", "b"], ["hello", "a"]),
        ("conv_scope='local'", [], ["re inner", "b"], ["hello", "a"]),
    ],
)
def test_scopes(scope, inner, aside, after):
    autogram = bot(SCOPED.format(scope=scope), ECHO)
    spoken, memory = talk(autogram, [None, "a", "b"], saving=True)
    assert spoken == ["hello", "re inner", "end 4"]  # no user answer is lost from the recorded conversation
    for request, seen in zip(asked(autogram), (inner, aside, after), strict=True):
        texts = "\n\n".join(message["content"] for message in request.messages)
        assert texts.split("\n\n")[:-1] == seen
    assert [turn["content"] for turn in memory.transcript()] == ["hello", "a", "re inner", "b", "end 4"]


def test_an_exception_leaves_a_scope_as_a_return_does():
    program = """
    @autograms_function(conv_scope="local")
    def part():
        set_system_prompt("inner")
        reply("in part")
        raise ValueError("x")

    @autograms_function()
    def chatbot():
        set_system_prompt("outer")
        reply("hello")
        try:
            part()
        except ValueError:
            reply_instruction("go on " + get_system_prompt())
    """
    autogram = bot(program, ECHO)
    assert talk(autogram, [None, "a", "b"], saving=True)[0][2] == "re outer"
    assert said(asked(autogram)[0])[:2] == ["system: outer", "assistant: hello"]
    assert "in part" not in str(said(asked(autogram)[0]))


def test_an_unknown_scope_is_refused():
    with pytest.raises(Exception, match="conv_scope='private': expected one of 'global', 'normal', 'local'"):
        bot("@autograms_function(conv_scope='private')\ndef chatbot():\n    pass\n")


def test_the_system_prompt_is_inherited_and_restored():
    program = """
    @autograms_function()
    def inner():
        append_system_prompt("more")
        silent_thought("in")
        set_system_prompt("else")
        silent_thought("in again")

    @autograms_function()
    def chatbot():
        append_system_prompt("first")
        inner()
        silent_thought("out")
        set_system_prompt("")
        silent_thought("bare")
        reply(repr(get_system_prompt()))
    """
    autogram = bot(program, ECHO)
    assert talk(autogram, [None])[0] == ["''"]
    systems = [[m["content"] for m in r.messages if m["role"] == "system"] for r in asked(autogram)]
    assert systems == [["first\nmore"], ["else"], ["first"], []]


def test_the_configuration_sets_the_first_system_prompt():
    autogram = bot("def chatbot():\n    reply_instruction('x')\n", ECHO, config={"default_prompt": "You are X."})
    talk(autogram, [None, "a", "b"])
    assert [said(r)[0] for r in asked(autogram)] == ["system: You are X."] * 2


def test_a_logged_thought_stands_where_it_happened():
    program = """
    @autograms_function()
    def chatbot():
        thought("before")
        reply("hello")
        thought("between")
        silent_thought("hidden")
        reply_instruction("answer")
        silent_thought("last")
        reply("x")
    """
    autogram = bot(program, ECHO)
    talk(autogram, [None, "a", "b"], saving=True)
    assert said(asked(autogram)[-1]) == [
        "user: Instruction: before",
        "assistant: re before",
        "assistant: hello",
        "user: a\n\nInstruction: between",
        "assistant: re between",
        "assistant: re answer",
        "user: b\n\nInstruction: last",
    ]


LIMITED = """
@autograms_function()
def chatbot():
    for n in range(3):
        reply(f"r{{n}}")
    {call}
    reply("end")
"""
ALL = ["r0", "u0", "r1", "u1", "r2", "u2"]


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        ("yes_or_no('q')", ["r2", "u2"]),
        ("yes_or_no('q', max_turns=1)", ["r2", "u2"]),
        ("yes_or_no('q', 2)", ["r1", "u1", "r2", "u2"]),
        ("yes_or_no('q', max_turns=0)", []),
        ("yes_or_no('q', max_turns=None)", ALL),
        ("yes_or_no('q', max_turns=9)", ALL),
        ("multiple_choice('q', ['a', 'b'])", ["r2", "u2"]),
        ("multiple_choice('q', ['a', 'b'], max_turns=0)", []),
        ("multiple_choice_logits('q', ['a', 'b'])", ["r2", "u2"]),
        ("TRANSITION('q', {'a': 'x', 'b': 'x'}); location(ADDRESS='x')", ["r2", "u2"]),
        ("TRANSITION('q', {'yes': 'x', 'no': 'x'}, max_turns=2); location(ADDRESS='x')", ["r1", "u1", "r2", "u2"]),
        ("silent_thought('q')", ALL),
        ("silent_thought('q', max_turns=0)", ALL),
        ("silent_thought('q', max_turns=1)", ["r2", "u2"]),
        ("thought('q', max_turns=2)", ["r1", "u1", "r2", "u2"]),
        ("reply_instruction('q', max_turns=1)", ["r2", "u2"]),
        ("reply_suffix('q', max_turns=1)", ["r2", "u2"]),
        ("generate_list('q')", ALL),
        ("generate_list('q', max_turns=1)", ["r2", "u2"]),
        ("generate_fixed_dict('q', ['data'], max_turns=1)", ["r2", "u2"]),
        ("thought_chain('q', ['data'], max_turns=1)", ["r2", "u2"]),
        ("call_llm('q')", []),
        ("call_completion('q')", []),
        ("call_chat_completion([{'role': 'user', 'content': 'q'}])", []),
    ],
)
def test_how_much_a_call_sees(call, seen):
    def answer(request):
        if request.kind == "object":
            return {"data": [] if request.schema["properties"]["data"]["type"] == "array" else "x"}
        return request.choices[0] if request.choices else "x"

    autogram = bot(LIMITED.format(call=call), answer)
    talk(autogram, [None, "u0", "u1", "u2"], saving=True)
    request = asked(autogram)[0]
    texts = "\n\n".join(message["content"] for message in request.messages).split("\n\n")
    assert texts[:-1] == seen
    assert "q" in texts[-1]


def test_decisions_can_go_without_the_system_prompt():
    program = "def chatbot():\n    set_system_prompt('s')\n    yes_or_no('q')\n    reply_instruction('x')\n"
    autogram = bot(program, ["Yes", "x"], config={"exclude_classifier_system_prompt": True})
    talk(autogram, [None])
    assert [said(r)[0].startswith("system") for r in asked(autogram)] == [False, True]
