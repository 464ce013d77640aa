"""A simulator that crosses to another process: here it is pickled and opened again, as Ray does."""

import os
import pickle

import pytest

from autograms import Autogram, AutogramConfig
from autograms.errors import ProgramError, ProgramFileError, SettingsError
from autograms.models import Limits, OpenAIModel, RetryPolicy, ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.account import Account
from autograms.simulation.answers import Answers
from autograms.simulation.branching import Branches
from autograms.simulation.parcel import pack
from autograms.simulation.talk import Cast
from tests.simulation.conftest import CHATBOT, USERBOT, model_at
from tests.simulation.test_simulator import without_times


def sent(simulator, parts=2, **start):
    parcel = pack(simulator, Cast(simulator.chatbot, simulator.userbot, **start), parts=parts)
    return pickle.loads(pickle.dumps(parcel)).open(concurrency=3)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_it_plays_as_the_one_that_was_packed(load, endpoint):
    endpoint.script(choice="hash")
    model = model_at(endpoint.url)
    simulator = Simulator(load("bot", CHATBOT, model=model), load("user", USERBOT, model=model))
    scenarios = plain_scenarios(4, num_turns=2, seed=3)
    opened, cast = sent(simulator, fingerprint="f")
    made = opened.play(scenarios, cast, Answers(), Account.open(None, None)).memories
    assert without_times(made) == without_times(simulator.run(scenarios, fingerprint="f").memories)


def test_options_travel(load):
    model = OpenAIModel("m", base_url="http://localhost:1/v1", api_key="k")
    config = AutogramConfig(max_tokens=7)
    simulator = Simulator(
        load("bot", CHATBOT, model=model, classifier=model, autogram_config=config, supervisor_mode=True),
        on_userbot_fault="retry",
        branches=Branches("turn", 2, model=model),
        student=OpenAIModel("student", base_url="http://localhost:1/v1", api_key="k"),
    )
    opened, _ = sent(simulator)
    chatbot = opened.chatbot
    assert (chatbot.name, chatbot.supervisor_mode, chatbot.config) == ("bot", True, config)
    assert (opened.userbot.name, opened.userbot.side) == ("plain_user", "user")
    assert (opened.on_userbot_fault, opened.concurrency, opened.engine) == ("retry", 3, None)
    assert opened.student.name == "openai/student"
    assert chatbot.model is chatbot.classifier is opened.userbot.model is opened.branches.model is not model


def test_every_option_travels_or_is_opened_anew(load):
    """A new option of the simulator is carried along by itself, or refuses to be pickled."""
    simulator = Simulator(load("bot", CHATBOT, model=model_at("http://localhost:1/v1")))
    opened, _ = sent(simulator)
    assert vars(opened).keys() == vars(simulator).keys()


def test_limits_are_shared():
    limits = Limits(concurrency=9, requests_per_minute=600, tokens_per_minute=1000)
    assert limits.part(4) == Limits(concurrency=2, requests_per_minute=150, tokens_per_minute=250)
    assert Limits(concurrency=1).part(4) == Limits(concurrency=1)


def test_a_model_is_opened_as_it_was():
    policy = RetryPolicy(max_tries=2)
    model = OpenAIModel("m", base_url="http://user:secret@localhost:1/v1", api_key="key-1", retry=policy)
    opener = model.opener(2)
    opened = pickle.loads(pickle.dumps(opener))()
    assert (opened.name, opened.base_url, opened.limiter().ceiling) == ("openai/m", model.base_url, 128)
    assert opened._transport.policy == policy
    assert opened._transport._headers == model._transport._headers


def test_keys_do_not_show(load, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    simulator = Simulator(load("bot", CHATBOT, model=OpenAIModel("m", api_key="secret-2")))
    parcel = pack(simulator, Cast(simulator.chatbot, simulator.userbot), parts=1)
    assert "secret" not in repr(parcel)


def test_the_environment_of_models_travels(load, monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOGRAMS_PRICES", "prices.toml")
    simulator = Simulator(load("bot", CHATBOT, model=model_at("http://localhost:1/v1")))
    parcel = pack(simulator, Cast(simulator.chatbot, simulator.userbot), parts=1)
    monkeypatch.delenv("AUTOGRAMS_PRICES")
    monkeypatch.chdir("/")
    try:
        parcel.open(concurrency=1)
        assert (os.environ["AUTOGRAMS_PRICES"], os.getcwd()) == ("prices.toml", str(tmp_path))
    finally:
        del os.environ["AUTOGRAMS_PRICES"]


def test_a_model_of_this_process_alone_is_refused(load):
    simulator = Simulator(load("bot", CHATBOT, model=ScriptedModel()))
    with pytest.raises(SettingsError, match=r"scripted.*lives in this process alone.*base_url"):
        sent(simulator)


def test_a_program_that_changed_is_refused(load, write):
    write("names", "NAME = 'Ann'\n")
    simulator = Simulator(load("bot", "import names\n" + CHATBOT, model=model_at("http://localhost:1/v1")))
    parcel = pack(simulator, Cast(simulator.chatbot, simulator.userbot), parts=1)
    path = write("names", "NAME = 'Bo'\n")
    with pytest.raises(ProgramError, match=r"names\.py is another one here"):
        parcel.open(concurrency=1)
    path.unlink()
    with pytest.raises(ProgramFileError, match=r"names\.py cannot be read by a worker.*file system"):
        parcel.open(concurrency=1)


def test_a_function_travels_as_it_is():
    from autograms.simulation import plain_user

    simulator = Simulator(Autogram(plain_user.chatbot, model=model_at("http://localhost:1/v1")))
    assert sent(simulator)[0].chatbot.root_function is plain_user.chatbot
