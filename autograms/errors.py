"""Every exception this package raises on purpose, and the one boundary that turns an exception into data.

    AutogramsError
    |-- SettingsError (ValueError)         autograms.toml, a recipe, a configuration, a command's flags
    |-- ScenarioError (ValueError)         a scenario list
    |-- ProgramError                       a program: its file, or what it did while it ran
    |   |-- ProgramFileError               missing file, syntax error, no chatbot(), not loadable
    |   |-- AddressError                   unknown, duplicate or unreachable addresses; jumps where none may be
    |   |-- SupervisorError                a supervisor returned nothing or a value of the wrong type
    |   |-- ToolCallError                  a tool that cannot be described to a model, or was called wrongly
    |   |-- RunawayError                   a program that neither replies nor calls, or that never stops calling
    |   `-- DivergenceError                a changed program asks for something else than what was recorded
    |-- ModelError (RuntimeError)          a model call
    |   |-- ModelNameError (ValueError)    no such provider or model
    |   |-- CredentialsError               no key, or a key that was refused
    |   |-- EndpointError                  the endpoint answered with an error, or not at all
    |   `-- OutputError (ValueError)       an answer that is not one of the choices, or not the JSON asked for
    |-- RecordError (ValueError)           a memory, Parquet, pickle or journal file that cannot be read
    |-- StorageError (OSError)             an object store that does not answer, refuses, or is not there
    |-- DatasetError (ValueError)          rows that cannot be built, selected, exported or trained on
    |-- TrainingError (RuntimeError)       a training worker or a finetuning job
    `-- BudgetError (RuntimeError)         a limit on calls or money was reached

What belongs here: exception classes and their classification. What does not: the checks that raise them.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AddressError",
    "AutogramsError",
    "BudgetError",
    "CredentialsError",
    "DatasetError",
    "DivergenceError",
    "EndpointError",
    "Failure",
    "ModelError",
    "ModelNameError",
    "OutputError",
    "ProgramError",
    "ProgramFileError",
    "RecordError",
    "RunawayError",
    "ScenarioError",
    "SettingsError",
    "StorageError",
    "SupervisorError",
    "ToolCallError",
    "TrainingError",
    "classify",
    "nearest",
]


class AutogramsError(Exception):
    """Base of every error raised on purpose. The message says what, where, what was expected, and the remedy."""


class SettingsError(AutogramsError, ValueError):
    """A setting is unknown, missing or has the wrong form."""


class ScenarioError(AutogramsError, ValueError):
    """A scenario list cannot be read, or one of its rows is wrong."""


class ProgramError(AutogramsError):
    """A program cannot be loaded or did something it must not do."""


class ProgramFileError(ProgramError):
    """A program's file is missing, does not parse, does not load, or defines no ``chatbot()``."""


class AddressError(ProgramError):
    """A jump or an address that cannot be."""


class SupervisorError(ProgramError):
    """A supervisor returned nothing, or a value that the primitive cannot have."""


class ToolCallError(ProgramError):
    """A function that cannot be a tool, or a model's call of a tool that is not there or takes other arguments."""


class RunawayError(ProgramError):
    """A program ran on without a reply or a call, or called without end."""


class DivergenceError(ProgramError):
    """A changed program asked for something else than what its memory recorded."""


class ModelError(AutogramsError, RuntimeError):
    """A model call failed."""


class ModelNameError(ModelError, ValueError):
    """A model's name has no known provider, or the provider does not have it."""


class CredentialsError(ModelError):
    """No key was given, or the endpoint refused it."""


class EndpointError(ModelError):
    """The endpoint answered with an error, or did not answer in time.

    Args:
        message: What happened, at which endpoint, and the remedy.
        status: The HTTP status, where there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.args[0], self.status))


class OutputError(ModelError, ValueError):
    """A model's answer is not of the form that was asked for.

    Attributes:
        spent: The last such answer, with the tokens and the price of all that were paid for, where they are known.
    """

    spent: Any = None


class RecordError(AutogramsError, ValueError):
    """A stored conversation cannot be read."""


class StorageError(AutogramsError, OSError):
    """The storage of the results does not answer, refuses, or does not exist."""


class DatasetError(AutogramsError, ValueError):
    """Rows cannot be built, selected, exported or trained on."""


class TrainingError(AutogramsError, RuntimeError):
    """A training worker or a finetuning job failed."""


class BudgetError(AutogramsError, RuntimeError):
    """A budget in calls or money was reached."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as data: what a failed conversation's row holds.

    Attributes:
        error: The exception's class name.
        message: Its message, one line or more.
        place: ``file:line`` in the program, or ``None`` where the program was not on the stack.
    """

    error: str
    message: str
    place: str | None = None


def classify(error: BaseException, program_files: Iterable[str] = ()) -> Failure:
    """Turn an exception into a :class:`Failure`, naming the innermost line of the program that was running.

    Args:
        error: The exception.
        program_files: Paths of the program's own source files, as they stand in its code objects.
    """
    files = set(program_files)
    place = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in files:
            place = f"{frame.filename}:{frame.lineno}"
    return Failure(type(error).__name__, str(error) or type(error).__name__, place)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word nearest to ``word``, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""
