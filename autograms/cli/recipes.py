"""From a command's flags and its configuration file to a recipe and to the settings of a dataset.

What does not belong here: what a recipe's options mean (``autograms.settings``).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from autograms.cli.configuration import read_options
from autograms.cli.options import DatasetFlags
from autograms.errors import SettingsError, nearest
from autograms.settings import AutogramConfig, DatasetSettings, DpoRecipe, SftRecipe

__all__ = ["build_settings", "dataset_settings", "read_recipe_file"]

_Settings = TypeVar("_Settings", bound=BaseModel)


def read_recipe_file(path: Path | None, recipe: type[SftRecipe]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options for the recipe and for the dataset that a configuration file holds.

    The file holds a recipe's options, and those of :class:`DatasetSettings` in a table ``dataset``. A file with
    options of :class:`AutogramConfig`, which AutoGRAMS takes here, is accepted with a warning: prompts are trained on
    as they were recorded.

    Raises:
        SettingsError: Where the file cannot be read or an option is unknown.
    """
    if path is None:
        return {}, {}
    options = read_options(path, "configuration file")
    dataset = options.pop("dataset", {})
    if not isinstance(dataset, dict):
        raise SettingsError(f"{path}: 'dataset' holds a {type(dataset).__name__}; expected options of the dataset")
    if options and not set(options) & set(DpoRecipe.model_fields) and _is_autogram_config(options):
        warnings.warn(
            f"{path} holds options of AutogramConfig, which have no effect here: prompts are trained on as recorded",
            stacklevel=2,
        )
        options = {}
    _refuse_unknown(options, recipe, str(path))
    _refuse_unknown(dataset, DatasetSettings, f"{path}, dataset")
    return options, dataset


def build_settings(model: type[_Settings], file_options: Mapping[str, Any], flags: Mapping[str, Any]) -> _Settings:
    """Return settings from a file's options, overridden by the flags that were given (those that are not ``None``).

    Raises:
        SettingsError: Where a value has the wrong form; the message names the option.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return model(**{**file_options, **given})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{place}: {first['msg']} (got {first['input']!r})") from None


def dataset_settings(flags: DatasetFlags, file_options: Mapping[str, Any] | None = None) -> DatasetSettings:
    """Return a dataset's settings from a file's options, overridden by the flags that were given.

    Raises:
        SettingsError: Where a value has the wrong form; the message names the option.
    """
    given = {name: value for name, value in flags.items() if value not in (None, [])}
    if flags["hold_out"]:
        given["hold_out"] = _held_out(flags["hold_out"])
    return build_settings(DatasetSettings, file_options or {}, given)


def _held_out(flags: list[str]) -> dict[str, list[Any]]:
    """Return the values by field, of flags such as ``user_kwargs.persona=angry``."""
    fields: dict[str, list[Any]] = {}
    for flag in flags:
        field, equals, text = flag.partition("=")
        if not (field and equals):
            raise SettingsError(f"--hold_out {flag!r}: expected FIELD=VALUE, such as user_kwargs.persona=angry")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        fields.setdefault(field, []).append(value)
    return fields


def _refuse_unknown(options: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    for name in options:
        if name not in model.model_fields:
            raise SettingsError(f"{where}: unknown option {name!r}{nearest(name, model.model_fields)}")


def _is_autogram_config(options: Mapping[str, Any]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            AutogramConfig(**options)
    except SettingsError:
        return False
    return True
