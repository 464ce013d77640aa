"""The models and saved memories of an autogram."""

import pytest

from autograms import Autogram, AutogramConfig, Memory, load_autogram, use_config
from autograms.errors import AutogramsError, RecordError
from autograms.functional import call_llm, get_single_embedding
from autograms.models import ScriptedModel
from tests.programs import bot, comparable, talk, write

PROGRAM = "def chatbot():\n    while yes_or_no('q'):\n        reply_instruction('x')\n"


def test_another_model_decides():
    path = write(PROGRAM)
    autogram = Autogram(load_autogram(path)[0], AutogramConfig(classifier_type="offline", classifier_path="demo"))
    autogram._model = ScriptedModel(["text"] * 9)
    _, memory = autogram.reply()
    assert memory.calls[0].model == "offline/demo"


def test_a_model_that_is_given_decides_too():
    autogram = bot(PROGRAM, ["No"], config={"classifier_path": "other"})
    assert autogram.reply()[0] is None


def test_the_name_is_the_files():
    assert bot(PROGRAM).name == "bot"
    assert Autogram(load_autogram(write(PROGRAM))[0], model=ScriptedModel(), name="mine").name == "mine"


def test_use_config_lets_primitives_work_outside_a_program():
    model = ScriptedModel(["answer"])
    with use_config(AutogramConfig(), model):
        assert call_llm("q") == "answer"
        assert len(get_single_embedding("q")) == 2
    with pytest.raises(AutogramsError, match="inside a running program only"):
        call_llm("q")


def test_saved_size_grows_with_the_turns_and_no_faster():
    autogram = bot("def chatbot():\n    while True:\n        reply_instruction('x')\n", lambda r: f"a{len(r.messages)}")
    _, memory = talk(autogram, [f"user text {n}" for n in range(50)])
    short = len(autogram.serialize(memory)) / 50
    _, memory = talk(autogram, [f"user text {n}" for n in range(50, 400)], memory)
    assert len(autogram.serialize(memory)) / 400 < short * 1.1


def test_saving_twice_gives_the_same():
    autogram = bot(PROGRAM, lambda r: "Yes")
    _, memory = talk(autogram, ["a", "b"])
    text = autogram.serialize(memory)
    assert autogram.serialize(autogram.deserialize(text)) == text
    assert comparable(autogram.deserialize(text)) == comparable(memory)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"version": 1}', "\0"])
def test_what_is_no_memory(text):
    with pytest.raises(RecordError, match="not a saved memory"):
        bot(PROGRAM).deserialize(text)


def test_keywords_are_what_a_resume_hands_over():
    program = "def chatbot(pair, more=None):\n    reply(repr((pair, more)))\n    reply(repr((pair, more)))\n"
    first, second = talk(bot(program), [None, "x"], saving=True, pair=(1, 2), more={"a": (3,)})[0]
    assert first == second == "([1, 2], {'a': [3]})"


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, b"x", object()])
def test_keywords_that_are_no_plain_data_reach_the_program(value):
    autogram = bot("def chatbot(x):\n    reply(type(x).__name__)\n")
    text, memory = autogram.reply(x=value)
    assert text == type(value).__name__
    with pytest.raises(RecordError, match=r"x=\w+ is no plain data"):
        autogram.serialize(memory)


def test_release_ends_the_live_program_and_keeps_the_memory():
    program = """
    DONE = []
    def chatbot():
        try:
            while True:
                reply("x")
        finally:
            DONE.append(1)
    """
    autogram = bot(program)
    _, memory = talk(autogram, [None, "a"])
    autogram.release(memory)
    assert autogram.program.module.DONE == [1]
    assert talk(autogram, ["b"], memory)[0] == ["x"]


def test_memories_of_two_autograms_do_not_mix():
    one, two = bot("def chatbot():\n    reply('one')\n"), bot("def chatbot():\n    reply('two')\n")
    memory = Memory(seed=1)
    one.reply(None, memory)
    with pytest.raises(AutogramsError, match="recorded reply 'one'"):
        two.reply("x", memory)
    assert one.reply("x", memory)[0] is None
