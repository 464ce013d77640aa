"""Supervisors of every primitive, what is recorded of them, and what they may return."""

import pytest

from autograms.errors import SupervisorError
from tests.programs import asked, bot, replies, said, talk

CHAIN = "[{'type': 'thought', 'prompt': 'p'}, {'type': 'decision', 'question': 'r', 'choices': ['x', 'y']}]"
DECISIONS = "[{'question': 'r', 'choices': ['x', 'y']}]"
SCHEMA = "{'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']}"

# primitive call, what the supervisor returns, what the program gets, what is recorded
RETURNS = [
    ("thought('q', S)", "'out'", "out", "out"),
    ("silent_thought('q', S)", "'out'", "out", "out"),
    ("yes_or_no('q', S)", "True", "True", "Yes"),
    ("yes_or_no('q', S)", "'no'", "False", "No"),
    ("multiple_choice('q', ['a', 'b'], S)", "1", "1", "b"),
    ("multiple_choice('q', ['a', 'b'], S)", "'b'", "1", "b"),
    ("multiple_choice_logits('q', ['a', 'b'], S)", "[0.0, -2.0]", "[0.0, -2.0]", None),
    ("multiple_choice_logits('q', ['a', 'b'], S)", "'a'", None, "[1.0, 0.0]"),
    ("generate_list('q', S)", "['a']", "['a']", '{"data": ["a"]}'),
    ("generate_list('q', S)", '\'{"data": ["a"]}\'', "['a']", '{"data": ["a"]}'),
    ("generate_fixed_list('q', 2, S)", "['a', 'b']", "['a', 'b']", '{"item1": "a", "item2": "b"}'),
    ("generate_list_of_choices('q', ['a', 'b'], S)", "('a', 'a')", "['a', 'a']", '{"data": ["a", "a"]}'),
    ("generate_fixed_dict('q', ['k'], S)", "{'k': 'a'}", "{'k': 'a'}", '{"k": "a"}'),
    ("generate_list_of_dicts('q', ['k'], S)", "[{'k': 'a'}]", "[{'k': 'a'}]", '{"data": [{"k": "a"}]}'),
    (f"generate_object('q', {SCHEMA}, S)", "{'n': 1}", '{"n": 1}', '{"n": 1}'),
    (f"generate_object('q', {SCHEMA}, S)", "'{\"n\": 1}'", '{"n": 1}', '{"n": 1}'),
    ("thought_chain('q', ['p', 'r'], S)", "['a', 'b']", "['a', 'b']", '{"p": "a", "r": "b"}'),
    (f"decision_chain('q', {DECISIONS}, S)", "['y']", "['y']", '{"r": "y"}'),
    (f"thought_decision_chain('q', {CHAIN}, S)", "{'p': 'a', 'r': 'x'}", "['a', 'x']", '{"p": "a", "r": "x"}'),
    ("call_llm('q', S)", "'out'", "out", "out"),
    ("call_completion('q', S)", "'out'", "('out', True)", "out"),
    ("call_chat_completion([{'role': 'user', 'content': 'q'}], S)", "'out'", "('out', True)", "out"),
]


def program(call, returned):
    return f"""
def sup(*args, **kwargs):
    silent_thought("inside")
    thought("logged inside")
    set_system_prompt("from inside")
    return SupervisorReturn({returned}, score=0.5, tags=["t"])

@autograms_function()
def chatbot():
    reply("hi")
    found = {call.replace("S)", "supervisor=sup)")}
    reply(str(found))
    silent_thought("behind")
    reply("end")
"""


@pytest.mark.parametrize(("call", "returned", "value", "recorded"), RETURNS)
def test_a_supervised_primitive(call, returned, value, recorded):
    source = program(call, returned)
    spoken = replies(source, [None, "a", "b"], lambda r: "x", supervisor_mode=True)
    assert value is None or spoken[1] == value
    autogram = bot(source, lambda r: "x", supervisor_mode=True)
    _, memory = talk(autogram, [None, "a", "b"])
    main, *inside, behind = memory.calls
    assert (main.supervised, main.supervisor, main.score, main.tags, main.parent) == (True, "sup", 0.5, ("t",), None)
    assert recorded is None or main.output == recorded
    assert [call.parent for call in inside] == [0, 0]
    assert not any(call.trains for call in inside)
    assert behind.parent is None
    kept = [message for message in said(asked(autogram)[-1]) if "inside" in message]
    assert kept == []


@pytest.mark.parametrize(("call", "returned", "value", "recorded"), RETURNS)
def test_the_recorded_prompt_is_what_the_plain_primitive_sends(call, returned, value, recorded):
    source = program(call, returned)
    outputs = {"text": "x", "choice": lambda r: r.choices[0]}

    def answer(request):
        return request.choices[0] if request.choices else outputs.get(request.kind, "{}")

    supervised = bot(source, answer, supervisor_mode=True)
    _, memory = talk(supervised, [None, "a"])
    plain = bot(source, answer, config={"classifier_max_tries": 1})
    _, other = talk(plain, [None])
    try:
        plain.reply("a", other)
    except Exception:  # the scripted answer is no object
        assert "chain" in call or "generate" in call
    sent = asked(plain)[0]
    assert memory.prompt_messages(memory.calls[0].prompt) == sent.messages
    assert memory.calls[0].choices == sent.choices


@pytest.mark.parametrize(
    ("call", "returned"),
    [
        ("thought('q', S)", "None"),
        ("thought('q', S)", "5"),
        ("thought('q', S)", "['x']"),
        ("reply_instruction('q', S)", "None"),
        ("reply_suffix('q', S)", "True"),
        ("yes_or_no('q', S)", "'maybe'"),
        ("yes_or_no('q', S)", "1"),
        ("multiple_choice('q', ['a', 'b'], S)", "2"),
        ("multiple_choice('q', ['a', 'b'], S)", "-1"),
        ("multiple_choice('q', ['a', 'b'], S)", "True"),
        ("multiple_choice('q', ['a', 'b'], S)", "'c'"),
        ("multiple_choice_logits('q', ['a', 'b'], S)", "[0.0]"),
        ("generate_list('q', S)", "'text'"),
        ("generate_list('q', S)", "[1]"),
        ("generate_fixed_list('q', 2, S)", "['a']"),
        ("generate_list_of_choices('q', ['a', 'b'], S)", "['c']"),
        ("generate_fixed_dict('q', ['k'], S)", "{'l': 'a'}"),
        (f"generate_object('q', {SCHEMA}, S)", "{'n': 'x'}"),
        (f"decision_chain('q', {DECISIONS}, S)", "['z']"),
        ("call_llm('q', S)", "5"),
        ("TRANSITION('q', {'a': 'x', 'b': 'x'}, S); location(ADDRESS='x')", "'c'"),
    ],
)
def test_values_of_the_wrong_type(call, returned):
    source = f"""
def sup(*args, **kwargs):
    return {returned}
@autograms_function()
def chatbot():
    {call.replace("S)", "supervisor=sup)")}
"""
    autogram = bot(source, supervisor_mode=True)
    with pytest.raises(SupervisorError, match=r"the supervisor sup\(\) of \w+ at chatbot:\d+ returned") as caught:
        autogram.reply()
    assert ("nothing" in str(caught.value)) == (returned == "None")


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("thought('q', supervisor=sup)", "('q',) {}"),
        ("thought('q', temperature=1, supervisor=sup, article='a')", "('q',) {'temperature': 1, 'article': 'a'}"),
        ("thought('q', supervisor=sup, supervisor_kwargs={'b': 2})", "('q',) {'b': 2}"),
        ("thought('q', article=1, supervisor=sup, supervisor_kwargs={'article': 2})", "('q',) {'article': 2}"),
        ("thought(instruction='q', supervisor=sup)", "() {'instruction': 'q'}"),
        ("nodes.thought('q', ADDRESS='here', supervisor=sup)", "('q',) {}"),
        ("call_llm('q', supervisor=sup)", "('q',) {}"),
    ],
)
def test_what_a_supervisor_is_called_with(call, arguments):
    source = f"def sup(*a, **k):\n    return f'{{a}} {{k}}'\n@autograms_function()\ndef chatbot():\n    reply({call})\n"
    assert bot(source, supervisor_mode=True).reply()[0] == arguments


def test_supervisors_do_not_act_unless_asked_to():
    source = """
    def sup(q):
        return "supervised"
    def chatbot():
        reply(thought("q", supervisor=sup, supervisor_kwargs={"a": 1}))
    """
    autogram = bot(source, ["plain"])
    assert autogram.reply()[0] == "plain"
    assert asked(autogram)[0].params == {}


@pytest.mark.parametrize(
    ("supervisor", "returned", "where"),
    [
        ("def sup(transition_question, transitions)", "'b'", "B"),
        ("def sup(question, choices)", "list(choices)[1]", "B"),
        ("def sup(question, choices, extra=0)", "1", "B"),
        ("def sup(*args, **kwargs)", "'a'", "A"),
    ],
)
def test_transitions(supervisor, returned, where):
    source = f"""
{supervisor}:
    return {returned}
@autograms_function()
def chatbot():
    TRANSITION("where?", {{"a": "A", "b": "B"}}, supervisor=sup)
    reply("A", ADDRESS="A")
    reply("B", ADDRESS="B")
"""
    assert replies(source, [None], supervisor_mode=True) == [where]


@pytest.mark.parametrize(("returned", "where"), [("True", "Y"), ("'no'", "N"), ("'Yes'", "Y")])
def test_transitions_by_yes_and_no(returned, where):
    source = f"""
def sup(question, choices):
    return {returned}
@autograms_function()
def chatbot():
    TRANSITION("go?", {{"YES": "Y", "no": "N"}}, supervisor=sup)
    reply("Y", ADDRESS="Y")
    reply("N", ADDRESS="N")
"""
    assert replies(source, [None], supervisor_mode=True) == [where]


@pytest.mark.parametrize(
    ("call", "rejected", "recorded"),
    [
        ("thought('q', S)", "'bad'", ("bad",)),
        ("thought('q', S)", "['bad', 'worse']", ("bad", "worse")),
        ("yes_or_no('q', S)", "False", ("No",)),
        ("multiple_choice('q', ['a', 'b', 'c'], S)", "[1, 'c']", ("b", "c")),
        ("generate_list('q', S)", "['x']", ('{"data": ["x"]}',)),
        ("generate_list('q', S)", "[['x'], ['y']]", ('{"data": ["x"]}', '{"data": ["y"]}')),
        ("generate_fixed_dict('q', ['k'], S)", "{'k': 'x'}", ('{"k": "x"}',)),
        ("thought('q', S)", "None", ()),
        ("thought('q', S)", "[]", ()),
    ],
)
def test_rejected_outputs(call, rejected, recorded):
    good = {"thought": "'good'", "yes_or_no": "True", "multiple_choice": "0", "generate_list": "['good']"}
    output = good.get(call.split("(")[0], "{'k': 'good'}")
    source = f"""
def sup(*args, **kwargs):
    return SupervisorReturn({output}, rejected_output={rejected}, tags="one")
def chatbot():
    {call.replace("S)", "supervisor=sup)")}
    reply("x")
"""
    _, memory = talk(bot(source, supervisor_mode=True), [None])
    assert memory.calls[0].rejected == recorded
    assert memory.calls[0].tags == ("one",)


@pytest.mark.parametrize(
    ("field", "value"), [("rejected_output", "5"), ("rejected_output", "['a', 5]"), ("score", "'high'")]
)
def test_what_goes_with_an_output_is_checked(field, value):
    source = f"""
def sup(q):
    return SupervisorReturn("x", {field}={value})
def chatbot():
    thought("q", supervisor=sup)
"""
    with pytest.raises(SupervisorError, match=r"sup\(\)"):
        bot(source, supervisor_mode=True).reply()


def test_a_supervised_call_inside_a_supervisor_trains():
    source = """
    def deep(text):
        return silent_thought("deepest")
    def sup(text):
        return silent_thought("nested", supervisor=deep)
    def chatbot():
        reply(thought("main", supervisor=sup))
        reply("next")
    """
    assert replies(source, [None, "x"], lambda r: "answer", supervisor_mode=True) == ["answer", "next"]
    _, memory = talk(bot(source, lambda r: "answer", supervisor_mode=True), [None])
    assert [(c.parent, c.supervised, c.trains) for c in memory.calls] == [
        (None, True, True),
        (0, True, True),
        (1, False, False),
    ]


def test_a_supervisor_that_changes_its_mind_diverges():
    source = "def sup(q):\n    return '{}'\ndef chatbot():\n    thought('q', supervisor=sup)\n    reply('x')\n"
    _, memory = talk(bot(source.format("one"), supervisor_mode=True), [None])
    with pytest.raises(
        Exception, match=r"the supervisor sup\(\) of thought .* recorded the output 'one', it now returns 'two'"
    ):
        bot(source.format("two"), supervisor_mode=True).reply("x", memory)


def test_supervisors_of_speech():
    source = """
    def sup(text, **kwargs):
        return SupervisorReturn("formal " + text, rejected_output="casual " + text)
    def chatbot():
        reply_instruction("greet", supervisor=sup)
        reply_suffix("Bye.", supervisor=sup)
    """
    assert replies(source, [None, "x"], supervisor_mode=True) == ["formal greet", "formal Bye."]
