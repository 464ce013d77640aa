"""Ends that programs come to which are none: exits, stray iterators, roots that would not run; and what they keep."""

import pytest

from autograms import Autogram, AutogramConfig
from autograms.errors import EndpointError, ProgramError
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from tests.programs import bot


def test_exit_in_a_program_fails_that_conversation_alone():
    chatbot = bot("def chatbot():\n    reply('a')\n    exit(3)\n")
    userbot = bot("def chatbot():\n    while True:\n        reply('b')\n")
    memories = Simulator(chatbot, userbot).run(plain_scenarios(3, num_turns=1, seed=0)).memories
    assert [memory.error for memory in memories] == ["ProgramError"] * 3
    assert "exit()" in memories[0].error_message
    assert "bot.py:" in memories[0].error_place


def test_a_stray_stop_iteration_is_named():
    with pytest.raises(ProgramError, match="StopIteration"):
        bot("def chatbot():\n    next(iter([]))\n").reply(None)


@pytest.mark.parametrize(
    ("source", "word"),
    [("async def chatbot():\n    reply('a')\n", "async def"), ("def chatbot():\n    yield reply('a')\n", "generator")],
)
def test_a_root_that_would_not_run_is_refused(source, word):
    with pytest.raises(ProgramError, match=word):
        bot(source)


def test_keywords_that_are_no_data_outlive_an_error():
    source = "def chatbot(o):\n    reply('a')\n    reply(silent_thought('x') + o.name)\n"

    class Thing:
        name = "!"

    answers = iter([EndpointError("away", 503), "b"])

    def answer(request):
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    chatbot = bot(source, ScriptedModel(answer))
    _, memory = chatbot.reply(None, o=Thing())
    with pytest.raises(EndpointError):
        chatbot.reply("u", memory)
    assert chatbot.reply("u", memory)[0] == "b!"


def test_branches_without_calls_are_resumed():
    chatbot = bot(
        "def chatbot():\n    reply(str(parallel_wrapper(lambda x: x * 2, [{'x': 1}, {'x': 2}])))\n    reply('b')"
    )
    text, memory = chatbot.reply(None)
    assert text == "[2, 4]"
    assert chatbot.reply("u", chatbot.deserialize(chatbot.serialize(memory)))[0] == "b"


def test_branches_have_user_globals_of_their_own():
    source = """
    g = init_user_globals()
    g["n"] = 0

    def branch(x):
        g["n"] += 1
        silent_thought(f"{x}")
        return silent_thought(f"n is {g['n']}")

    def chatbot():
        parallel_wrapper(branch, [{"x": 1}, {"x": 2}])
        reply(str(g["n"]))
        reply("b")
    """
    chatbot = bot(source, ["x"] * 4)
    text, memory = chatbot.reply(None)
    assert text == "0"
    assert chatbot.reply("u", chatbot.deserialize(chatbot.serialize(memory)))[0] == "b"


@pytest.mark.parametrize("fault", ["score='high'", "rejected_output=5"])
def test_a_supervisors_bad_detail_is_the_calls_error(fault):
    source = f"""
    def sup(instruction):
        return SupervisorReturn("fine", {fault})

    def chatbot():
        try:
            text = silent_thought("x", supervisor=sup)
        except Exception as error:
            text = type(error).__name__
        reply(text)
        reply("b")
    """
    chatbot = bot(source, supervisor_mode=True)
    text, memory = chatbot.reply(None)
    assert text == "SupervisorError"
    assert not memory.calls[0].trains
    assert chatbot.reply("u", chatbot.deserialize(chatbot.serialize(memory)))[0] == "b"


def test_the_configurations_classifier_decides_beside_a_named_model():
    config = AutogramConfig(classifier_type="offline", classifier_path="demo")
    chatbot = Autogram(lambda: None, config, "openai/some-model")
    assert chatbot.classifier is not None
    assert chatbot.classifier.name == "offline/demo"
    assert Autogram(lambda: None, config, ScriptedModel()).classifier is None


def test_options_without_an_effect_are_named():
    with pytest.warns(UserWarning, match="embedding_proxy_port"):
        AutogramConfig(embedding_proxy_port=8080)
