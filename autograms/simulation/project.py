"""A project's simulations: the programs, the scenarios and the budget that its settings name.

What does not belong here: where results are stored, and running anything.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from autograms.autogram import Autogram
from autograms.errors import ScenarioError, SettingsError
from autograms.models import resolve_model
from autograms.models.base import Model, identity_of
from autograms.models.unasked import unasked_model
from autograms.settings import AutogramConfig, AutogramSettings, Project
from autograms.simulation import plain_user
from autograms.simulation.branching import Branches
from autograms.simulation.budget import Budget
from autograms.simulation.scenarios import Scenario, load_scenarios, plain_scenarios, sample_scenarios
from autograms.simulation.simulator import Simulator

if TYPE_CHECKING:
    from autograms.simulation.ray_engine import RayEngine

__all__ = ["WHO", "budget_of", "identities", "open_chatbot", "open_simulator", "scenarios_of"]


WHO = ("chatbot", "chatbot decides", "user", "user decides", "student", "judge")
"""Who has a model in an autogram's settings."""


def open_simulator(
    project: Project, name: str, *, deployed: Model | str | None = None, unasked: bool = False
) -> Simulator:
    """Open an autogram and its userbot as they are simulated, with supervisors, or as the autogram is deployed.

    Args:
        project: The project.
        name: The autogram.
        deployed: Run the deployed autogram, without supervisors, on this model instead of the settings'. It decides
            too: no classifier of the settings helps it.
        unasked: Give them models that are never asked and need no key, to plan with.

    Raises:
        SettingsError: Where a file is missing or a setting is wrong.
        ProgramFileError: Where a program cannot be loaded.
        ModelError: Where there is no such model, or no key for it.
    """
    settings = project.settings(name)
    chatbot = open_chatbot(project, name, deployed=deployed, unasked=unasked)
    _, user_config = _configs(settings, name)
    file = project.userbot_file(settings)
    models = _models(settings.user_model or settings.model, user_config, unasked)
    if file is None:
        userbot = Autogram(plain_user.chatbot, user_config, **models, name="plain_user", side="user")
    else:
        userbot = Autogram.from_file(file, user_config, **models, supervisor_mode=True, side="user")
    if deployed is not None:
        return Simulator(chatbot, userbot, concurrency=settings.evaluation.batch_size)
    return Simulator(
        chatbot,
        userbot,
        concurrency=settings.concurrency,
        on_userbot_fault=settings.on_userbot_fault,
        branches=None if settings.branches is None else Branches(settings.branches.at, settings.branches.n),
        student=_student(settings, unasked),
        engine=_engine(settings),
        batch=settings.batch,
        batch_poll_seconds=settings.batch_poll_seconds,
        data=_data_version(project, settings),
    )


def open_chatbot(
    project: Project,
    name: str,
    *,
    model: str | None = None,
    deployed: Model | str | None = None,
    unasked: bool = False,
    on_change: Literal["error", "address"] = "error",
) -> Autogram:
    """Open an autogram as it is simulated, with supervisors, or as it is deployed.

    Args:
        project: The project.
        name: The autogram.
        model: The model that is simulated; the settings' where unset.
        deployed: As in :func:`open_simulator`.
        unasked: As in :func:`open_simulator`.
        on_change: As in :class:`~autograms.autogram.Autogram`.

    Raises:
        SettingsError: Where the file is missing or a setting is wrong.
        ProgramFileError: Where the program cannot be loaded.
        ModelError: Where there is no such model, or no key for it.
    """
    settings = project.settings(name)
    config, _ = _configs(settings, name)
    if isinstance(deployed, str):
        deployed = resolve_model(deployed, base_url=config.endpoint, max_tries=config.chatbot_max_tries)
    models = {"model": deployed} if deployed is not None else _models(model or settings.model, config, unasked)
    supervised = deployed is None
    return Autogram.from_file(
        project.chatbot_file(name), config, **models, supervisor_mode=supervised, name=name, on_change=on_change
    )


def scenarios_of(
    project: Project, settings: AutogramSettings, *, on_bad: Callable[[ScenarioError], None] | None = None
) -> list[Scenario]:
    """Return the scenarios that an autogram's settings name, the sample of them that is simulated.

    Args:
        project: The project.
        settings: The autogram's settings.
        on_bad: Told of each wrong row that ``skip_bad_scenarios`` leaves out.

    Raises:
        SettingsError: Where the file is missing.
        ScenarioError: Where it is wrong.
    """
    file = project.scenario_file(settings)
    if file is None:
        return plain_scenarios(settings.num_examples, num_turns=settings.num_turns, seed=settings.seed)
    skip = (on_bad or _warn) if settings.skip_bad_scenarios else None
    scenarios = load_scenarios(file, num_turns=settings.num_turns, seed=settings.seed, on_bad=skip)
    if settings.sample is None:
        return scenarios
    return sample_scenarios(scenarios, settings.sample.n, seed=settings.sample.seed)


def _warn(error: ScenarioError) -> None:
    warnings.warn(f"left out: {error}", stacklevel=2)


def budget_of(settings: AutogramSettings) -> Budget:
    """Return what one simulation of an autogram may spend."""
    return Budget(settings.budget_usd, settings.budget_calls)


def _data_version(project: Project, settings: AutogramSettings) -> str:
    """Return the hash of the data files that an autogram's programs open; empty where it names none."""
    files = project.data_files(settings)
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(project.root).as_posix()}\0{content}\0".encode())
    return digest.hexdigest() if files else ""


def identities(settings: AutogramSettings, name: str, *, of: Iterable[str] = WHO) -> dict[str, str | None]:
    """Return what tells the models of an autogram's simulation from any others, by who they are.

    Args:
        settings: The autogram's settings.
        name: The autogram.
        of: Whose, of :data:`WHO`; the others' models need not be there.

    Raises:
        SettingsError: Where a setting is wrong.
        ModelError: Where there is no such model.
    """
    config, user_config = _configs(settings, name)
    models = {
        "chatbot": (settings.model, config.endpoint),
        "chatbot decides": (config.classifier_model, config.endpoint),
        "user": (settings.user_model or settings.model, user_config.endpoint),
        "user decides": (user_config.classifier_model, user_config.endpoint),
        "student": (settings.student if settings.rejected == "student" else None, settings.base_url),
        "judge": (settings.evaluation.judge, settings.evaluation.judge_base_url),
    }
    return {who: _identity(*models[who]) for who in of}


def _identity(name: str | None, base_url: str | None) -> str | None:
    return None if name is None else identity_of(unasked_model(name, base_url=base_url))


def _configs(settings: AutogramSettings, name: str) -> tuple[AutogramConfig, AutogramConfig]:
    """Return the chatbot's and the user's configuration."""
    return (
        _config(settings.config, settings.base_url, f"[autograms.{name}.config]"),
        _config(settings.user_config, settings.base_url, f"[autograms.{name}.user_config]"),
    )


def _models(name: str, config: AutogramConfig, unasked: bool) -> dict[str, Any]:
    """Return the arguments of an autogram that say which models answer and decide."""
    if not unasked:
        return {"model": name}
    decides = config.classifier_model
    return {
        "model": unasked_model(name, base_url=config.endpoint),
        "classifier": None if decides is None else unasked_model(decides, base_url=config.endpoint),
    }


def _engine(settings: AutogramSettings) -> RayEngine | None:
    if settings.engine == "local":
        return None
    from autograms.simulation.ray_engine import RayEngine

    return RayEngine(settings.ray_address, settings.ray_workers)


def _student(settings: AutogramSettings, unasked: bool) -> Model | None:
    if settings.rejected != "student" or settings.student is None:
        return None
    opened = unasked_model if unasked else resolve_model
    return opened(settings.student, base_url=settings.base_url)


def _config(options: dict[str, Any], base_url: str | None, where: str) -> AutogramConfig:
    try:
        return AutogramConfig(**{"base_url": base_url, **options})
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None
