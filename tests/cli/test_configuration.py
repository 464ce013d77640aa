"""Configuration and key files."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograms.cli.configuration import read_api_keys, read_config
from autograms.errors import CredentialsError, SettingsError


def test_no_file_is_the_default_configuration() -> None:
    assert read_config(None).chatbot_model == "openai/gpt-4o-mini"


@pytest.mark.parametrize(("name", "text"), [("c.json", '{"chatbot_path": "big"}'), ("c.toml", 'chatbot_path = "big"')])
def test_json_and_toml(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_config(tmp_path / name).chatbot_path == "big"


def test_a_flag_overrides_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"base_url": "http://a/v1"}')
    assert read_config(tmp_path / "c.json", base_url="http://b/v1").endpoint == "http://b/v1"


def test_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"openai": "sk-1"}')
    assert read_api_keys(path) == {"openai": "sk-1"}
    assert read_api_keys(None) is None


def test_keys_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"load_from_env": true, "openai": "MY_KEY"}')
    monkeypatch.setenv("MY_KEY", "sk-2")
    assert read_api_keys(path) == {"openai": "sk-2"}
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(CredentialsError, match="not set"):
        read_api_keys(path)


@pytest.mark.parametrize("text", ['{"openai": "sk-secret"', '{"openai": ["sk-secret"]}', '["sk-secret"]'])
def test_no_message_shows_a_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"keys\.json") as error:
        read_api_keys(path)
    assert "sk-secret" not in str(error.value)


def test_a_key_in_the_place_of_a_variables_name_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"load_from_env": true, "openai": "sk-secret"}')
    with pytest.raises(CredentialsError) as error:
        read_api_keys(path)
    assert "sk-secret" not in str(error.value)
