"""A project's folder, how it is found, and its ``autograms.toml``.

What does not belong here: what the settings are (the modules beside this one).
"""

from __future__ import annotations

import os
import tomllib
import types
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from autograms.errors import SettingsError, nearest
from autograms.settings.autogram import AutogramSettings
from autograms.settings.chatbots import autogram_names
from autograms.settings.strict import first_problem

__all__ = ["Place", "Project", "find_project", "load_project"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project is, and where what it leaves behind goes.

    Attributes:
        root: The project's folder; it need not exist.
        home: The folder in which ``storage/`` and ``.dagster/`` lie, unless the environment names others.
    """

    root: Path
    home: Path

    @property
    def beside(self) -> Path:
        """The folder of this machine for results; beside an object store, for unfinished work."""
        return self.home / "storage"

    @property
    def storage(self) -> str:
        """Where results go: the URL or the absolute path of ``$AUTOGRAMS_STORAGE``, else of :attr:`beside`."""
        given = (os.environ.get("AUTOGRAMS_STORAGE") or str(self.beside)).removeprefix("file://")
        return given if "://" in given else str(Path(given).resolve())


def find_project() -> Place:
    """Say which project is meant, without reading it.

    It is the one that ``$AUTOGRAMS_PROJECT`` names; else the nearest folder, from the current one upward, that is a
    project; else ``examples`` in the current folder. What a project that was found upward leaves behind stays in its
    own folder, from wherever in it a command is started; what the others leave behind, in the current one.
    """
    here = Path.cwd()
    given = os.environ.get("AUTOGRAMS_PROJECT")
    if given:
        return Place(Path(given).resolve(), here)
    nearest_one = next((folder for folder in (here, *here.parents) if _is_project(folder)), None)
    return Place(here / "examples", here) if nearest_one is None else Place(nearest_one, nearest_one)


class Project:
    """A project's folder: ``chatbots/``, ``userbots/``, ``scenarios/`` and ``autograms.toml``.

    Args:
        root: The folder.
        defaults: The ``[defaults]`` table.
        tables: The ``[autograms.NAME]`` tables.
    """

    def __init__(self, root: Path, defaults: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
        self.root = root
        self._defaults = defaults
        self._tables = tables

    @property
    def settings_file(self) -> Path:
        """The project's ``autograms.toml``."""
        return self.root / "autograms.toml"

    def names(self) -> list[str]:
        """Return the autograms' names, sorted: the stems of ``chatbots/*.py`` without the modules that they import."""
        return autogram_names(self.root / "chatbots")

    def chatbot_file(self, name: str) -> Path:
        """Return the autogram's file.

        Raises:
            SettingsError: Where there is none; the message names those there are.
        """
        path = self.root / "chatbots" / f"{name}.py"
        if not path.is_file():
            known = self.names()
            listing = ", ".join(known) if known else "none yet"
            raise SettingsError(
                f"no autogram {name!r}: {path} does not exist{nearest(name, known)} (autograms there: {listing})"
            )
        return path

    def settings(self, name: str) -> AutogramSettings:
        """Return the autogram's settings: ``[defaults]``, overlaid by ``[autograms.NAME]``.

        Raises:
            SettingsError: Where a key is unknown or a value has the wrong form.
        """
        merged = _overlay(self._defaults, self._tables.get(name, {}))
        where = f"{self.settings_file}, [autograms.{name}]"
        _refuse_unknown(merged, AutogramSettings, where)
        try:
            return AutogramSettings(**merged)
        except ValidationError as error:
            raise SettingsError(f"{where}: {first_problem(error)}") from None

    def userbot_file(self, settings: AutogramSettings) -> Path | None:
        """Return the userbot's file, ``None`` where the plain user plays.

        Raises:
            SettingsError: Where the file is missing.
        """
        if settings.userbot is None:
            return None
        return self._existing("userbots", settings.userbot.removesuffix(".py") + ".py", "userbot")

    def scenario_file(self, settings: AutogramSettings) -> Path | None:
        """Return the scenario list, ``None`` where ``num_examples`` counts.

        Raises:
            SettingsError: Where the file is missing.
        """
        if settings.scenarios is None:
            return None
        return self._existing("scenarios", settings.scenarios, "scenarios")

    def data_files(self, settings: AutogramSettings) -> list[Path]:
        """Return the data files that the autogram's programs open, sorted.

        Raises:
            SettingsError: Where a path leaves the project, or names no file.
        """
        found: set[Path] = set()
        for pattern in settings.files:
            where = f"{self.settings_file}: files names {pattern!r}"
            if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise SettingsError(f"{where}; expected a path or a pattern inside of {self.root}, such as data/*.json")
            matched = {path for path in self.root.glob(pattern) if path.is_file()}
            if not matched:
                raise SettingsError(f"{where}, and no file in {self.root} is called so")
            found |= matched
        return sorted(found)

    def _existing(self, folder: str, file: str, key: str) -> Path:
        path = self.root / folder / file
        if not path.is_file():
            known = [other.name for other in (self.root / folder).glob("*") if other.is_file()]
            raise SettingsError(f"{self.settings_file}: {key} names {path}, which does not exist{nearest(file, known)}")
        return path


def load_project(root: str | os.PathLike[str] | None = None) -> Project:
    """Read a project's ``autograms.toml``; a project without one has defaults only.

    Args:
        root: The project's folder; the one of :func:`find_project` where unset.

    Raises:
        SettingsError: Where there is no project, the TOML does not parse, or a table is unknown.
    """
    folder = _found() if root is None else Path(root).resolve()
    if not folder.is_dir():
        raise SettingsError(f"no project at {folder}: expected a folder with chatbots/*.py (set AUTOGRAMS_PROJECT)")
    file = folder / "autograms.toml"
    if not file.is_file():
        return Project(folder, {}, {})
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None
    for key in data:
        if key not in ("defaults", "autograms"):
            raise SettingsError(f"{file}: unknown table [{key}]{nearest(key, ('defaults', 'autograms'))}")
    if not isinstance(data.get("defaults", {}), dict):
        raise SettingsError(f"{file}: defaults is {data['defaults']!r}; expected a table [defaults]")
    tables = data.get("autograms", {})
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{file}: [autograms] holds {name!r}; expected tables such as [autograms.{name}]")
    project = Project(folder, data.get("defaults", {}), tables)
    for name in sorted(set(tables) - set(project.names())):
        there = (folder / "chatbots" / f"{name}.py").is_file()
        why = "is a module that programs import" if there else f"is not there{nearest(name, project.names())}"
        warnings.warn(f"{file}: [autograms.{name}] has no effect: chatbots/{name}.py {why}", stacklevel=2)
    return project


def _is_project(folder: Path) -> bool:
    return (folder / "chatbots").is_dir() or (folder / "autograms.toml").is_file()


def _found() -> Path:
    root = find_project().root
    if _is_project(root):
        return root
    if given := os.environ.get("AUTOGRAMS_PROJECT"):
        what = f"AUTOGRAMS_PROJECT={given} names no project: {root} has neither chatbots/ nor autograms.toml"
        raise SettingsError(f"{what}; set it to a project's folder, or make one there: autograms init {given}")
    raise SettingsError(
        f"no project: neither {root.parent} nor a folder above it has chatbots/ or autograms.toml, nor has {root}; "
        "make one (autograms init my_project) and go there, or set AUTOGRAMS_PROJECT to a project's folder"
    )


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        merged[key] = _overlay(merged[key], value) if isinstance(value, dict) and key in merged else value
    return merged


def _refuse_unknown(values: dict[str, Any], model: type[BaseModel], where: str) -> None:
    for key, value in values.items():
        if key not in model.model_fields:
            raise SettingsError(f"{where}: unknown key {key!r}{nearest(key, model.model_fields)}")
        inner = _inner_model(model.model_fields[key].annotation)
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(value, inner, f"{where}.{key}")


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)
