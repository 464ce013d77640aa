"""A simulator as it travels to another process, which opens its programs and its models again.

Programs go by their paths and models by what they were made with: the machines share a file system. What does not
belong here: which conversations are simulated there (``shards``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from autograms.autogram import Autogram
from autograms.errors import ProgramError, ProgramFileError, SettingsError
from autograms.models.base import Model
from autograms.program.loading import load_program
from autograms.settings import AutogramConfig
from autograms.simulation.simulator import Simulator
from autograms.simulation.talk import Cast

__all__ = ["Parcel", "pack"]

_SETTINGS = ("OPENAI_", "AUTOGRAMS_")
"""How the environment variables begin that programs and models read."""
_OPENED_ANEW = ("chatbot", "userbot", "student", "branches", "engine", "concurrency")
_SHARED = "the machines of a cluster read programs, settings and journals by path; put the project on a file system \
that all of them share"


@dataclass(frozen=True, slots=True)
class _Program:
    root: Path | Callable[..., Any]
    config: AutogramConfig
    model: int
    classifier: int | None
    supervisor_mode: bool
    on_change: Literal["error", "address"]
    name: str
    side: str

    def open(self, models: list[Model]) -> Autogram:
        return Autogram(
            load_program(self.root).root if isinstance(self.root, Path) else self.root,
            self.config,
            models[self.model],
            classifier=None if self.classifier is None else models[self.classifier],
            supervisor_mode=self.supervisor_mode,
            on_change=self.on_change,
            name=self.name,
            side=self.side,
        )


@dataclass(frozen=True, slots=True)
class Parcel:
    """A simulator and its cast, packed. It may hold keys, and is never written to a disk.

    Attributes:
        chatbot: The chatbot's program.
        userbot: The user's program.
        models: What opens each of the models.
        student: Which of them is the student.
        branches: The simulator's branches, without their model.
        branch_model: Which of the models it is.
        options: The simulator's further options.
        start: The cast's memories and fingerprint.
        sources: Hashes of the programs' files.
        folder: The folder that programs run in.
        environment: Environment variables that programs and models read.
    """

    chatbot: _Program
    userbot: _Program
    models: tuple[Callable[[], Model], ...] = field(repr=False)
    student: int | None
    branches: Any
    branch_model: int | None
    options: dict[str, Any]
    start: dict[str, Any]
    sources: dict[str, str]
    folder: str
    environment: dict[str, str] = field(repr=False)

    def open(self, *, concurrency: int) -> tuple[Simulator, Cast]:
        """Return the simulator and its cast, in the process that they travelled to.

        Args:
            concurrency: Conversations at once, at the most.

        Raises:
            ProgramFileError: Where a program's file is not on this machine, or cannot be loaded.
            ProgramError: Where it is another one than was packed.
        """
        os.environ.update(self.environment)
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        for path, digest in self.sources.items():
            _compare(path, digest)
        models = [opener() for opener in self.models]
        branches = self.branches
        if self.branch_model is not None:
            branches = replace(branches, model=models[self.branch_model])
        simulator = Simulator(
            self.chatbot.open(models),
            self.userbot.open(models),
            concurrency=concurrency,
            student=None if self.student is None else models[self.student],
            branches=branches,
            **self.options,
        )
        return simulator, Cast(simulator.chatbot, simulator.userbot, **self.start)


def pack(simulator: Simulator, cast: Cast, *, parts: int) -> Parcel:
    """Pack a simulator for so many processes, which share the limits of its models.

    Raises:
        SettingsError: Where a model cannot be opened in another process.
    """
    models: dict[int, tuple[int, Callable[[], Model]]] = {}

    def number(model: Model | None) -> int | None:
        if model is None:
            return None
        if id(model) not in models:
            models[id(model)] = len(models), _opener(model, parts)
        return models[id(model)][0]

    def program(autogram: Autogram) -> _Program:
        return _Program(
            autogram.program.path if autogram.program is not None else autogram.root_function,
            autogram.config,
            number(autogram.model) or 0,
            number(autogram.classifier),
            autogram.supervisor_mode,
            autogram.on_change,
            autogram.name,
            autogram.side,
        )

    branches = simulator.branches
    chatbot, userbot = program(simulator.chatbot), program(simulator.userbot)
    student, branch_model = number(simulator.student), number(branches.model if branches else None)
    programs = [autogram.program for autogram in (simulator.chatbot, simulator.userbot) if autogram.program]
    return Parcel(
        chatbot,
        userbot,
        tuple(opener for _, opener in models.values()),
        student,
        replace(branches, model=None) if branches else None,
        branch_model,
        {name: value for name, value in vars(simulator).items() if name not in _OPENED_ANEW},
        {name: getattr(cast, name) for name in ("chatbot_memory", "user_memory", "fingerprint")},
        {path: _digest(path) for loaded in programs for path in loaded.files},
        os.getcwd(),
        {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)},
    )


def _opener(model: Model, parts: int) -> Callable[[], Model]:
    opener = getattr(model, "opener", None)
    if opener is None:
        raise SettingsError(
            f'{model.name} lives in this process alone and cannot be asked by the workers of engine = "ray"; expected '
            'openai/NAME (serve a checkpoint, and set base_url) or offline/demo, or engine = "local"'
        )
    return opener(parts)


def _digest(path: str) -> str:
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()


def _compare(path: str, digest: str) -> None:
    try:
        found = _digest(path)
    except OSError as error:
        raise ProgramFileError(f"{path} cannot be read by a worker ({error.strerror}); {_SHARED}") from None
    if found != digest:
        raise ProgramError(
            f"{path} is another one here than where the simulation began; it changed meanwhile, so simulate again, or "
            f"it is not the same file: {_SHARED}"
        )
