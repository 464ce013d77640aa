"""Opening programs for a command: their files, their configurations, their models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autograms.cli.configuration import read_api_keys, read_config, read_openai_key

if TYPE_CHECKING:
    from autograms.autogram import Autogram
    from autograms.cli.options import CastFlags
    from autograms.cli.stored_models import Stage
    from autograms.models import Model

__all__ = ["Opened", "open_autogram", "open_cast", "open_model", "open_program", "plain_user_file"]


class Opened(NamedTuple):
    """An autogram of the project.

    Attributes:
        autogram: The autogram.
        user_goes_first: Whether the user goes first in its scenarios.
        chatbot_kwargs: The keywords of its root function in the first of them.
    """

    autogram: Autogram
    user_goes_first: bool
    chatbot_kwargs: dict[str, Any]


def open_program(
    file: Path,
    *,
    config_file: Path | None = None,
    model: Model | str | None = None,
    base_url: str | None = None,
    api_key_file: Path | None = None,
    supervisor_mode: bool = False,
    side: str = "chatbot",
) -> Autogram:
    """Load a program and give it its settings and its model, which must exist and have a key.

    Args:
        file: The program.
        config_file: Its configuration; the default one where unset.
        model: The model, or ``provider/model``, which overrides the configuration's.
        base_url: URL of an endpoint, which overrides the configuration's.
        api_key_file: File with keys; the environment's where unset.
        supervisor_mode: Whether supervisors answer.
        side: ``chatbot`` or ``user``, for the record.

    Raises:
        ProgramFileError: Where the file is missing or no program.
        SettingsError: Where a configuration or key file is wrong.
        ModelError: Where there is no such model, or no key for it.
    """
    from autograms.autogram import Autogram

    autogram = Autogram.from_file(
        file,
        read_config(config_file, base_url=base_url),
        model=model,
        supervisor_mode=supervisor_mode,
        api_keys=read_api_keys(api_key_file),
        side=side,
    )
    autogram.model.name  # noqa: B018 - a wrong name or a missing key shows here, before anything is done
    return autogram


def open_autogram(
    name: str, *, model: str | None = None, stage: Stage | None = None, supervisor_mode: bool = False
) -> Opened:
    """Load an autogram of the project with its settings there.

    Args:
        name: The autogram.
        model: ``provider/model``; where unset the trained one, or the teacher where supervisors answer. Without
            supervisors it decides too: no classifier of the settings helps it.
        stage: Which of the trained models; the last there is where unset.
        supervisor_mode: Whether supervisors answer.

    Raises:
        SettingsError: Where there is no such autogram, or no trained model of it.
        AutogramsError: As :func:`open_program`.
    """
    from autograms.cli.stored_models import find_model
    from autograms.settings import load_project
    from autograms.simulation.project import open_chatbot, scenarios_of

    project = load_project()
    project.chatbot_file(name)
    deployed = None if supervisor_mode else model or f"checkpoint/{find_model(name, stage).folder}"
    autogram = open_chatbot(project, name, model=model, deployed=deployed, on_change="address")
    autogram.model.name  # noqa: B018 - a wrong name or a missing key shows here, before anything is done
    scenarios = scenarios_of(project, project.settings(name))
    first = scenarios[0].chatbot_kwargs if scenarios else {}
    return Opened(autogram, any(scenario.user_goes_first for scenario in scenarios), first)


def open_model(name: str, flags: CastFlags) -> Model:
    """Return a model that answers beside the cast, at the same endpoint and with the same key.

    Args:
        name: ``provider/model``.
        flags: The command's ``--base_url`` and ``--api_key_file``.

    Raises:
        SettingsError: Where the key file is wrong.
        ModelError: Where there is no such model, or no key for it.
    """
    from autograms.models import resolve_model

    return resolve_model(name, base_url=flags["base_url"], api_key=read_openai_key(flags["api_key_file"]))


def open_cast(autogram_file: Path, flags: CastFlags) -> tuple[Autogram, Autogram]:
    """Load a chatbot and its user for a simulation, in which supervisors answer.

    Args:
        autogram_file: The chatbot's program.
        flags: The user's program, and the models of both.

    Raises:
        AutogramsError: As :func:`open_program`.
    """
    chatbot = open_program(
        autogram_file,
        config_file=flags["config_file"],
        model=flags["model"],
        base_url=flags["base_url"],
        api_key_file=flags["api_key_file"],
        supervisor_mode=True,
    )
    userbot = open_program(
        flags["userbot_file"] or plain_user_file(),
        config_file=flags["user_config_file"] or flags["config_file"],
        model=flags["user_model"] or flags["model"],
        base_url=flags["base_url"],
        api_key_file=flags["api_key_file"],
        supervisor_mode=True,
        side="user",
    )
    return chatbot, userbot


def plain_user_file() -> Path:
    """Return the program of the plain user, a person played by a model."""
    from autograms.simulation import plain_user

    return Path(plain_user.__file__)
