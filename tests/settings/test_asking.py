import pytest

from autograms.errors import SettingsError
from autograms.settings import AutogramConfig


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({}, "openai/gpt-4o-mini"),
        ({"chatbot_type": "proxy", "chatbot_path": "m"}, "openai/m"),
        ({"chatbot_type": "huggingface_tgi", "chatbot_path": "m"}, "openai/m"),
        ({"chatbot_type": "huggingface", "chatbot_path": "folder"}, "checkpoint/folder"),
        ({"chatbot_type": "offline", "chatbot_path": "demo"}, "offline/demo"),
    ],
)
def test_autograms_names_of_providers_stand_for_ours(values: dict[str, str], model: str) -> None:
    assert AutogramConfig(**values).chatbot_model == model


def test_decisions_are_the_chatbots_models_where_no_other_is_set() -> None:
    assert AutogramConfig().classifier_model is None
    assert AutogramConfig(classifier_path="judge").classifier_model == "openai/judge"
    assert AutogramConfig(classifier_type="offline", classifier_path="demo").classifier_model == "offline/demo"


def test_the_proxys_port_is_an_endpoint_on_this_machine() -> None:
    assert AutogramConfig(chatbot_proxy_port=8080).endpoint == "http://localhost:8080/v1"
    assert AutogramConfig(chatbot_proxy_port=8080, base_url="http://elsewhere/v1").endpoint == "http://elsewhere/v1"
    assert AutogramConfig().endpoint is None


def test_the_longest_response_is_max_tokens() -> None:
    assert AutogramConfig(max_response_len=7).max_tokens == 7


@pytest.mark.parametrize("name", ["banned_phrases", "error_response", "agent_name", "chatbot_max_input_len"])
def test_a_name_without_effect_loads_and_says_so(name: str) -> None:
    with pytest.warns(UserWarning, match=f"'{name}' has no effect"):
        AutogramConfig(**{name: "x"})


def test_a_name_without_effect_that_is_none_is_silent(recwarn: pytest.WarningsRecorder) -> None:
    AutogramConfig(error_response=None)
    assert not recwarn


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"max_tokenz": 1}, r"unknown option 'max_tokenz'; did you mean 'max_tokens'"),
        ({"temperature": 0.3}, r"chatbot_generation_args, as \{'temperature': \.\.\.\}"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"watchdog_seconds": -1}, "watchdog_seconds"),
    ],
)
def test_a_wrong_option_is_named(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        AutogramConfig(**values)


@pytest.mark.parametrize("name", ["instruction_template", "reply_suffix_inst_conversion"])
def test_a_template_holds_the_instruction(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must hold <instruction>"):
        AutogramConfig(**{name: "nothing"})
    assert "<instruction>" in getattr(AutogramConfig(**{name: None}), name)
