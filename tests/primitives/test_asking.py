"""Every primitive: what it asks, what it returns, what it refuses."""

import ast
import json
import os
import select
import warnings

import pytest

from autograms.errors import OutputError, ProgramError
from tests.programs import asked, bot, replies, said, talk


def ask(expression, outputs=(), **options):
    """Return what an expression is in a program, and the autogram that ran it."""
    autogram = bot(
        f"def chatbot():\n    reply(json.dumps({expression}, default=str))\nimport json\n", outputs, **options
    )
    text = autogram.reply()[0]
    return json.loads(text), autogram


# ------------------------------------------------------------------------------------------------------------ speech


def test_reply_says_what_it_is_given():
    assert replies("def chatbot():\n    reply('x')\n    reply(5)\n    reply('')\n    reply(None)\n", [None] * 5) == [
        "x",
        "5",
        "",
        "",
        None,
    ]


def test_data_goes_with_a_reply():
    autogram = bot("def chatbot():\n    reply('x', data={'a': [1]})\n    reply_instruction('y', data=2)\n", ["z"])
    first = autogram.apply()
    second = autogram.apply("u", first.memory_object)
    assert [(r.reply, r.data) for r in (first, second)] == [("x", {"a": [1]}), ("z", 2)]


def test_data_that_is_no_plain_data():
    with pytest.raises(ProgramError, match="data= of a reply is no plain data"):
        bot("def chatbot():\n    reply('x', data=object())\n").reply()


@pytest.mark.parametrize(
    ("answer", "spoken"), [("Sure. Call us.", "Sure. Call us."), ("Sure.", "Sure. Call us."), ("", "Call us.")]
)
def test_reply_suffix_closes_with_the_text(answer, spoken):
    autogram = bot("def chatbot():\n    reply('hi')\n    reply_suffix('Call us.')\n", [answer])
    assert talk(autogram, [None, "u"])[0] == ["hi", spoken]
    assert "Call us." in asked(autogram)[0].messages[-1]["content"]


# ---------------------------------------------------------------------------------------------------------- keywords


@pytest.mark.parametrize(
    ("call", "output"),
    [
        ("thought('q', temperature=0.5, stop=['.'], model='other/m')", "x"),
        ("silent_thought('q', temperature=0.5, stop=['.'], model='other/m')", "x"),
        ("yes_or_no('q', temperature=0.5, stop=['.'], model='other/m')", "Yes"),
        ("multiple_choice('q', ['a', 'b'], temperature=0.5, stop=['.'], model='other/m')", "b"),
        ("generate_list('q', temperature=0.5, stop=['.'], model='other/m')", {"data": []}),
        ("thought_chain('q', ['p'], temperature=0.5, stop=['.'], model='other/m')", {"p": "x"}),
        ("call_llm('q', temperature=0.5, stop=['.'], model='other/m')", "x"),
    ],
)
def test_keywords_of_the_chat_api_pass_through(call, output):
    _, autogram = ask(call, [output])
    request = asked(autogram)[0]
    assert request.params == {"temperature": 0.5, "stop": ["."]}
    assert request.model == "other/m"


def test_the_configuration_gives_keywords():
    config = {"max_tokens": 50, "chatbot_generation_args": {"temperature": 0.1, "seed": 3}}
    _, autogram = ask("[thought('q', temperature=0.9), yes_or_no('q')]", ["x", "Yes"], config=config)
    assert asked(autogram)[0].params == {"temperature": 0.9, "seed": 3, "max_tokens": 50}
    assert "temperature" not in asked(autogram)[1].params


def test_unknown_keywords_warn_once_and_name_the_nearest():
    with pytest.warns(
        UserWarning, match=r"thought\(\) has no keyword 'temprature'.*did you mean 'temperature'"
    ) as seen:
        _, autogram = ask("[thought('q', temprature=1) for n in range(3)]", ["x"] * 3)
    assert len(seen) == 1
    assert asked(autogram)[0].params == {}


SUPERVISED = """
def sup(*args, **kwargs):
    return "x"
def chatbot():
    {}
"""


@pytest.mark.parametrize(
    "call",
    [
        "reply_instruction('q', supervizor=sup)",
        "silent_thought('q', supervizor=sup, supervisor=None)",
        "autograms.functional.thought('q', supervizor=sup)",
        "nodes.thought('q', supervizor=sup, ADDRESS='x')",
        "yes_or_no('q', supervizor=sup)",
        "multiple_choice('q', ['only'], supervizor=sup)",
        "multiple_choice_logits('q', ['a', 'b'], supervizor=sup)",
        "TRANSITION('q', {'a': name, 'b': name}, supervizor=sup)",
        "generate_list('q', supervizor=sup)",
        "decision_chain('q', [], supervizor=sup)",
        "call_llm('q', supervizor=sup)",
        "call_chat_completion([], supervizor=sup)",
    ],
)
def test_a_misspelt_supervisor_is_told_when_the_program_is_loaded(call):
    name = call.split("(")[0].split(".")[-1]
    with pytest.warns(UserWarning, match=rf"bot\.py:\d+: {name}\(\) has no .*did you mean 'supervisor'") as seen:
        bot("import autograms.functional\nname = 'x'\n" + SUPERVISED.format(call))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "call", ["multiple_choice('q', ['only'], **options)", "(lambda ask: ask('q', **options))(silent_thought)"]
)
def test_one_that_cannot_be_seen_is_told_when_it_is_called(call):
    autogram = bot("options = {'supervizor': print}\n" + SUPERVISED.format(f"{call}; {call}; reply('x')"), ["x"] * 2)
    with pytest.warns(UserWarning, match=r"has no keyword 'supervizor'.*did you mean 'supervisor'") as seen:
        autogram.reply()
    assert len(seen) == 1


@pytest.mark.parametrize(
    "call",
    [
        "thought('q', supervisor=sup, supervizor=1)",
        "thought('q', **{'supervizor': 1, 'supervisor': sup})",
        "reply('q', whatever=1)",
        "(lambda thought: thought('q', supervizor=1))(print)",
        "sup('q', supervizor=1)",
    ],
)
def test_a_keyword_that_somebody_takes_is_not_told(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bot(SUPERVISED.format(call))


def test_keywords_for_a_supervisor_that_does_not_act_warn_nothing():
    program = """
    def sup(text, article):
        return article
    def chatbot():
        reply(thought("q", supervisor=sup, article="a"))
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bot(program, ["x"]).reply()[0] == "x"
        assert bot(program, supervisor_mode=True).reply()[0] == "a"


def test_multi_modal_inputs_are_the_chat_apis_parts():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    program = (
        f"def chatbot():\n    thought('look', multi_modal_inputs=[{picture}])\n    thought('and?')\n    reply('x')\n"
    )
    autogram = bot(program, ["a", "b"])
    _, memory = talk(autogram, [None, None], saving=True)
    message = asked(autogram)[0].messages[-1]
    assert message["content"] == [{"type": "text", "text": "Instruction: look"}, picture]
    assert memory.prompt_messages(memory.calls[0].prompt) == asked(autogram)[0].messages


def test_the_first_of_several_answers_is_used():
    assert ask("[thought('q', n=2), yes_or_no('q', n=2)]", [["one", "two"], ["No", "Yes"]])[0] == ["one", False]


def test_templates():
    config = {"instruction_template": "[<instruction>]", "default_question_prompt": "Decide:"}
    _, autogram = ask("[thought('do'), yes_or_no('so?')]", ["x", "No"], config=config)
    assert asked(autogram)[0].messages[-1]["content"] == "[do]"
    assert asked(autogram)[1].messages[-1]["content"].startswith("Decide:\nso?")


# --------------------------------------------------------------------------------------------------------- decisions


@pytest.mark.parametrize(("answer", "value"), [("Yes", True), ("no.", False), ("YES", True)])
def test_yes_or_no(answer, value):
    found, autogram = ask("yes_or_no('q')", [answer])
    assert found is value
    assert asked(autogram)[0].choices == ("Yes", "No")


def test_multiple_choice_returns_the_index_and_leaves_the_list_alone():
    program = "def chatbot():\n    c = ['yes', 'maybe', 3]\n    n = multiple_choice('q', c)\n    reply(f'{n} {c}')\n"
    autogram = bot(program, ["3"])
    assert autogram.reply()[0] == "2 ['yes', 'maybe', 3]"
    assert asked(autogram)[0].choices == ("yes", "maybe", "3")


def test_a_single_choice_asks_nothing():
    assert ask("multiple_choice('q', ['only'])")[0] == 0


@pytest.mark.parametrize("choices", ["[]", "'text'", "[str(n) for n in range(27)]"])
def test_choices_that_cannot_be(choices):
    with pytest.raises(ProgramError, match="choices"):
        ask(f"multiple_choice('q', {choices})")


def test_twenty_six_choices():
    assert ask("multiple_choice('q', [str(n) for n in range(26)])", ["25"])[0] == 25


def test_an_answer_that_is_no_choice_is_asked_again_and_then_an_error():
    assert ask("yes_or_no('q')", ["perhaps", "Yes"])[0] is True
    with pytest.raises(OutputError, match=r"yes_or_no at chatbot:\d+: the model answered 'perhaps'.*asked 2 times"):
        ask("yes_or_no('q')", ["perhaps", "perhaps"])


def test_logits():
    found, autogram = ask("multiple_choice_logits('q', ['a', 'b'])", ["b"])
    assert found[1] == 0
    assert found[0] < -50
    assert asked(autogram)[0].kind == "choice"


def test_embeddings():
    found, _ = ask("[get_single_embedding('ab'), get_batch_embeddings(['a', 'bb'])]")
    assert found[0] == found[1][1] or len(found[0]) == len(found[1][0])
    program = "def chatbot():\n    found = get_single_embedding('ab')\n    reply(str(found))\n    reply(str(found))\n"
    first, second = replies(program, [None, "x"])
    assert first == second


# -------------------------------------------------------------------------------------------------------- structured


@pytest.mark.parametrize(
    ("call", "output", "value"),
    [
        ("generate_list('q')", {"data": ["a", "b"]}, ["a", "b"]),
        ("generate_fixed_list('q', 2)", {"item1": "a", "item2": "b"}, ["a", "b"]),
        ("generate_list_of_choices('q', ['a', 'b'])", {"data": ["b", "b"]}, ["b", "b"]),
        ("generate_fixed_dict('q', ['k', 'l'])", {"k": "a", "l": "b"}, {"k": "a", "l": "b"}),
        ("generate_list_of_dicts('q', ['k'])", {"data": [{"k": "a"}]}, [{"k": "a"}]),
        ("thought_chain('q', ['one\\ntwo', 'say \"x\"'])", {"one two": "a", "say 'x'": "b"}, ["a", "b"]),
        ("decision_chain('q', [{'question': 'r?', 'choices': ['x', 'y']}])", {"r?": "y"}, ["y"]),
        (
            "thought_decision_chain('q', [{'type': 'thought', 'prompt': 'p'},"
            " {'type': 'decision', 'question': 'r?', 'choices': ['x', 'y']}])",
            {"p": "a", "r?": "x"},
            ["a", "x"],
        ),
        ("generate_object('q', {'type': 'object', 'properties': {'n': {'type': 'integer'}}})", {"n": 1}, '{"n": 1}'),
        ("generate_object('q', {'type': 'json_schema', 'json_schema': {'schema': {'type': 'object'}}})", {}, "{}"),
    ],
)
def test_structured(call, output, value):
    found, autogram = ask(call, [output])
    assert found == value
    request = asked(autogram)[0]
    assert request.kind == "object"
    assert "q" in request.messages[-1]["content"]
    assert list(request.schema.get("properties", {})) == list(
        request.schema.get("required", request.schema.get("properties", {}))
    )


@pytest.mark.parametrize(
    ("call", "output"),
    [
        ("generate_list('q')", {"data": [1]}),
        ("generate_list('q')", {"items": []}),
        ("generate_list('q')", "no json"),
        ("generate_fixed_list('q', 2)", {"item1": "a"}),
        ("generate_list_of_choices('q', ['a', 'b'])", {"data": ["c"]}),
        ("generate_fixed_dict('q', ['k'])", {"k": "a", "l": "b"}),
        ("decision_chain('q', [{'question': 'r?', 'choices': ['x', 'y']}])", {"r?": "z"}),
    ],
)
def test_structured_answers_of_another_form(call, output):
    with pytest.raises(OutputError, match="asked 2 times"):
        ask(call, [output] * 2)


def test_a_pydantic_model_gives_an_instance():
    program = """
    from pydantic import BaseModel
    class Person(BaseModel):
        name: str
        age: int = 3
    def chatbot():
        found = generate_object("q", Person)
        reply(repr(found))
        reply(repr(found))
    """
    assert replies(program, [None, "x"], [{"name": "Ann"}]) == ["Person(name='Ann', age=3)"] * 2
    with pytest.raises(OutputError, match="no Person"):
        bot(program, [{"age": "x"}] * 2).reply()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("generate_object('q', 5)", "expected a pydantic model or a JSON schema"),
        ("generate_object('q', {'type': 'nonsense'})", "schema itself is wrong"),
        ("thought_chain('q', ['a', 'a'])", "there twice"),
        ("decision_chain('q', [{'question': 'r?'}])", "item 1 of the chain"),
        ("thought_decision_chain('q', [{'type': 'other'}])", "item 1 of the chain"),
        ("call_llm('q', call_type='other')", "call_type='other'"),
        ("call_chat_completion([])", "expected a list of mappings"),
        ("call_chat_completion(['x'])", "expected a list of mappings"),
    ],
)
def test_what_cannot_be_asked(call, message):
    with pytest.raises(ProgramError, match=message):
        ask(call, [{}] * 2)


# ------------------------------------------------------------------------------------------------------------ direct


@pytest.mark.parametrize(
    ("call", "value"),
    [("call_llm('q')", "x"), ("call_llm('q', 'completion')", "x"), ("call_completion('q')", ["x", True])],
)
def test_direct_calls_send_the_prompt_alone(call, value):
    found, autogram = ask(f"(set_system_prompt('s'), {call})[1]", ["x"])
    assert found == value
    assert said(asked(autogram)[0]) == ["user: q"]


def test_chat_messages_go_as_they_are():
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a", "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "t", "tool_call_id": "1"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "b"}]},
    ]
    found, autogram = ask(f"call_chat_completion({messages})", ["x"])
    assert found == ["x", True]
    sent = asked(autogram)[0].messages
    assert [{**m, "content": m["content"] or None} for m in sent] == messages


def test_changed_chat_messages_diverge():
    program = """
    def chatbot():
        call_chat_completion([{"role": "system", "content": "%s"}, {"role": "user", "content": "u"}])
        reply("x")
    """
    _, memory = talk(bot(program % "a", ["x"]), [None])
    with pytest.raises(ProgramError, match="call_chat_completion"):
        bot(program % "b").reply("x", memory)


# ----------------------------------------------------------------------------------------------------------- history


def test_what_was_said():
    program = """
    def chatbot():
        reply(f"{extract_last_user_reply()} {extract_full_conv_history()}")
        reply_instruction("go")
        thought("think")
        reply(str(get_turn_history("more")))
        reply(str(get_turn_history(max_turns=1, conv_only=True)))
    """
    spoken = replies(program, [None, "a", "b", "c"], ["said", "thinking"])
    assert spoken[0] == "None []"
    inputs, outputs, system = ast.literal_eval(spoken[2])
    assert inputs[1:] == ["a", "b\n\nInstruction: think", "more"]
    assert outputs == [spoken[0], "said", "thinking"]
    assert system == ""
    assert ast.literal_eval(spoken[3])[1] == [spoken[2]]


# -------------------------------------------------------------------------------------------------------------- code


def test_extract_code():
    text = "a\n```python\nx = 1\n```\nb\n```js\ny\n```\n```python\nz = 2\n```\n"
    assert ask(f"extract_code({text!r})")[0] == "x = 1\nz = 2"
    assert ask(f"extract_code({text!r}, merge_blocks=False)")[0] == ["x = 1", "z = 2"]
    assert ask(f"extract_code({text!r}, 'js')")[0] == "y"
    assert ask("extract_code('none')")[0] == ""


@pytest.mark.parametrize(
    ("code", "options", "expected"),
    [
        ("print(1 + 1)", "", ["2\n", True]),
        ("1 / 0", "", ["ZeroDivisionError", False]),
        ("import time; time.sleep(60)", ", timeout=0.5", ["the code did not finish within 0.5 seconds", False]),
        ("echo shell", ", command='sh', code_suffix='.sh'", ["shell\n", True]),
        ("x", ", command='no-such-command'", ["no-such-command", False]),
    ],
)
def test_execute_code(code, options, expected):
    (output, success), _ = ask(f"execute_code({code!r}{options})")
    assert expected[0] in output
    assert success is expected[1]


def test_executed_code_has_no_network_where_the_system_can_take_it_away():
    from autograms.primitives.code import _without_network

    code = (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
        "socket.create_connection(s.getsockname(), 2)"
    )
    (output, success), _ = ask(f"execute_code({code!r})")
    if _without_network():
        assert not success
        assert "unreachable" in output
    else:
        assert success


def test_the_sandbox_command_is_a_setting():
    (output, success), _ = ask("execute_code('print(1)')", config={"sandbox_command": "env -i X=1"})
    assert (output, success) == ("1\n", True)


def test_executed_code_sees_no_key_and_no_other_process(monkeypatch):
    from autograms.primitives.code import _without_network

    monkeypatch.setenv("SOME_API_KEY", "sk-hidden")
    (output, success), _ = ask("execute_code('import os; print(os.getpid(), *sorted(os.environ))')")
    assert success
    pid, *names = output.split()
    assert {"HOME", "PATH"} <= set(names) <= {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH"}  # LC_CTYPE: Python's own
    assert (pid == "1") == ("--pid" in _without_network())


def test_what_executed_code_writes_need_not_be_text():
    code = "import sys; sys.stdout.buffer.write(bytes([97, 255, 98]))"
    (output, success), _ = ask(f"execute_code({code!r})")
    assert (output, success) == ("a\N{REPLACEMENT CHARACTER}b", True)


@pytest.mark.parametrize("sandbox", [None, ""])
@pytest.mark.parametrize(("wait", "finished"), [(0, True), (1000, False)])
def test_what_executed_code_has_started_ends_with_it(tmp_path, wait, finished, sandbox):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"exec 3>'{pipe}'\nsleep 1000 >/dev/null 2>&1 &\nsleep {wait}"
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    (_, success), _ = ask(  # a shell, which has opened the pipe long before it is stopped
        f"execute_code({code!r}, command='sh', code_suffix='.sh', timeout={60 if finished else 4})",
        config={"sandbox_command": sandbox},
    )
    assert success is finished
    ready, _, _ = select.select([end], [], [], 60)  # the pipe ends when the last that holds it open has ended
    assert ready
    assert os.read(end, 1) == b""
    os.close(end)


def test_executed_code_is_not_run_again_on_resume():
    program = """
    def chatbot():
        found = execute_code("import uuid; print(uuid.uuid4())")
        reply(found[0])
        reply(found[0])
    """
    first, second = talk(bot(program), [None, "x"], saving=True)[0]
    assert first == second


# ---------------------------------------------------------------------------------------------------------- test mode


def test_test_mode_answers_offline():
    from autograms import Autogram, AutogramConfig, load_autogram
    from tests.programs import write

    path = write("def chatbot():\n    assert yes_or_no('q') in (True, False)\n    reply_instruction('x')\n")
    text, memory = Autogram(load_autogram(path)[0], AutogramConfig(), test_mode=True).reply()
    assert text
    assert {call.model for call in memory.calls} == {"offline/demo"}
