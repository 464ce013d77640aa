"""Opening an autogram and its userbot with the project's settings.

What does not belong here: fingerprints, and running conversations.
"""

from typing import TYPE_CHECKING, Any

from autograms.errors import SettingsError
from autograms.settings import AutogramConfig, AutogramSettings
from autograms_assets.workspace import Workspace

if TYPE_CHECKING:
    from autograms.autogram import Autogram

__all__ = ["open_chatbot", "open_userbot"]


def open_chatbot(
    workspace: Workspace, name: str, settings: AutogramSettings, *, supervisor_mode: bool, model: str | None = None
) -> "Autogram":
    """Open an autogram.

    Args:
        workspace: The project.
        name: The autogram.
        settings: Its settings.
        supervisor_mode: Whether supervisors answer: they do in simulations, and never once deployed.
        model: A model in place of the settings'.

    Raises:
        ProgramFileError: Where the file cannot be loaded.
        SettingsError: Where an option of its configuration is wrong.
        ModelError: Where there is no such model, or no key for it.
    """
    from autograms.autogram import Autogram

    config = _config(settings.config, settings.base_url, f"[autograms.{name}.config]")
    return _ready(
        Autogram.from_file(
            workspace.project().chatbot_file(name),
            config,
            model=model or settings.model,
            supervisor_mode=supervisor_mode,
            name=name,
        )
    )


def open_userbot(workspace: Workspace, settings: AutogramSettings) -> "Autogram":
    """Open the program that plays the user: the settings' userbot, or a plain user that a model plays.

    Raises:
        ProgramFileError: Where the file cannot be loaded.
        SettingsError: Where the file is missing or an option of its configuration is wrong.
        ModelError: Where there is no such model, or no key for it.
    """
    from autograms.autogram import Autogram
    from autograms.simulation import plain_user

    file = workspace.project().userbot_file(settings)
    config = _config(settings.user_config, settings.base_url, "user_config")
    model = settings.user_model or settings.model
    if file is None:
        return _ready(Autogram(plain_user.chatbot, config, model, name="plain_user", side="user"))
    return _ready(Autogram.from_file(file, config, model=model, side="user"))


def _ready(autogram: "Autogram") -> "Autogram":
    """Find its model now: a wrong name or a missing key fails before the first conversation."""
    _ = autogram.model
    return autogram


def _config(options: dict[str, Any], base_url: str | None, where: str) -> AutogramConfig:
    try:
        return AutogramConfig(**{"base_url": base_url, **options})
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None
