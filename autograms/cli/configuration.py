"""Files that people hand to a command: configurations, recipes and keys.

What does not belong here: what the options mean (``autograms.settings``).
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from autograms.errors import CredentialsError, SettingsError
from autograms.settings import AutogramConfig

__all__ = ["read_api_keys", "read_config", "read_openai_key", "read_options"]


def read_options(path: Path, what: str) -> dict[str, Any]:
    """Return the options in a JSON or TOML file.

    Args:
        path: The file; ``.toml`` is read as TOML, anything else as JSON.
        what: What the file is, for messages: ``configuration file``.

    Raises:
        SettingsError: Where the file is missing, does not parse, or holds something else than options.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise SettingsError(f"cannot read the {what} {path}: {error.strerror}") from None
    except ValueError as error:
        form = "TOML" if path.suffix == ".toml" else "JSON"
        raise SettingsError(f"the {what} {path} is not valid {form}: {error}") from None
    if not isinstance(data, dict):
        raise SettingsError(f"the {what} {path} holds a {type(data).__name__}; expected an object with options")
    return data


def read_config(path: Path | None, *, base_url: str | None = None) -> AutogramConfig:
    """Return the configuration in a file, the default one where there is no file.

    Args:
        path: A JSON or TOML file with options of :class:`AutogramConfig`.
        base_url: URL of an endpoint, which overrides the file's.

    Raises:
        SettingsError: Where the file cannot be read or an option is unknown or wrong; the message names the file.
    """
    options = {} if path is None else read_options(path, "configuration file")
    if base_url is not None:
        options["base_url"] = base_url
    try:
        return AutogramConfig(**options)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}" if path is not None else str(error)) from None


def read_api_keys(path: Path | None) -> dict[str, str] | None:
    """Return the keys in a file, by provider; ``None`` where there is no file.

    The file holds ``{"openai": "KEY"}``, or, with ``"load_from_env": true`` in it, names of environment variables
    in the place of the keys.

    Raises:
        SettingsError: Where the file cannot be read or has another form. No message shows any of its content.
        CredentialsError: Where an environment variable that it names is not set.
    """
    if path is None:
        return None
    data = read_options(path, "key file")
    from_environment = data.pop("load_from_env", False)
    if not all(isinstance(value, str) for value in data.values()):
        raise SettingsError(f'the key file {path} must hold texts only; expected {{"openai": "..."}}')
    if from_environment is not True:
        return data
    missing = [provider for provider, variable in data.items() if not os.environ.get(variable)]
    if missing:
        raise CredentialsError(
            f"the key file {path} takes the key of {missing[0]!r} from an environment variable that is not set; "
            "set the variable, or write the key itself and leave load_from_env out"
        )
    return {provider: os.environ[variable] for provider, variable in data.items()}


def read_openai_key(path: Path | None) -> str | None:
    """Return the key of OpenAI-compatible endpoints in a file; ``None``, the environment's, where there is none.

    Raises:
        SettingsError: As :func:`read_api_keys`.
        CredentialsError: As :func:`read_api_keys`.
    """
    return (read_api_keys(path) or {}).get("openai")
