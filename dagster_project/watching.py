"""What the sensor sees: which autograms changed since it last looked, and which files to leave alone for now.

Everything it remembers is one JSON text, the sensor's cursor. A file whose size and time are as they were is not
opened. What does not belong here: Dagster.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograms.errors import AutogramsError, ScenarioError, SettingsError
from autograms.settings import AutogramSettings, Project, load_project
from autograms_assets.fingerprints import combine, file_version, local_files
from autograms_assets.partitions import PARTITION_NAMES, is_partition_name
from autograms_assets.workspace import read_sources

__all__ = ["Changed", "Look", "Memo", "look"]

SETTLED_SECONDS = 2.0
"""A file that was written less than this ago may still be being written."""

_FORMAT = 1
_FOLDERS = (".", "chatbots", "userbots", "scenarios")

Stat = tuple[int, int]
"""Size in bytes and modification time in nanoseconds; (-1, 0) for a file that is not there."""


@dataclass(slots=True)
class Seen:
    """One autogram as it was last seen.

    Attributes:
        generation: How often it has changed; makes the key of each run its own.
        digest: Hash of all that its chain depends on; empty until it was first seen whole.
        files: Its files, as indices into the memo's paths.
        problem: Why it cannot run as it is, or ``None``.
    """

    generation: int = 0
    digest: str = ""
    files: list[str] = field(default_factory=list)
    problem: str | None = None


@dataclass(slots=True)
class Memo:
    """What is remembered between two looks.

    Attributes:
        autograms: The autograms by name.
        stats: The files as they were when they were last read.
        pending: Files that were being written when last looked at.
        gone: Generations of autograms that were removed.
    """

    autograms: dict[str, Seen] = field(default_factory=dict)
    stats: dict[str, Stat] = field(default_factory=dict)
    pending: dict[str, Stat] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the memo as text."""
        autograms = {
            name: [seen.generation, seen.digest, seen.files, seen.problem] for name, seen in self.autograms.items()
        }
        data = {
            "format": _FORMAT,
            "autograms": autograms,
            "stats": self.stats,
            "pending": self.pending,
            "gone": self.gone,
        }
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> Memo:
        """Read a memo; an empty one where there is none, or one that cannot be read."""
        try:
            data = json.loads(text or "")
            if data["format"] != _FORMAT:
                return cls()
            return cls(
                {name: Seen(*values) for name, values in data["autograms"].items()},
                {path: (stat[0], stat[1]) for path, stat in data["stats"].items()},
                {path: (stat[0], stat[1]) for path, stat in data["pending"].items()},
                dict(data["gone"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return cls()


@dataclass(frozen=True, slots=True)
class Changed:
    """An autogram that is to run.

    Attributes:
        name: The autogram.
        generation: How often it has changed so far.
        digest: Hash of all that its chain depends on.
    """

    name: str
    generation: int
    digest: str


@dataclass(slots=True)
class Look:
    """What one look at the project found.

    Attributes:
        memo: What to remember.
        names: The autograms that have been whole at least once: those that have a partition.
        changed: Those that are to run.
        waiting: Those whose files are still being written.
        problems: Why autograms cannot run, by name.
        new_problems: The names in ``problems`` that are told for the first time.
    """

    memo: Memo
    names: list[str] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    new_problems: list[str] = field(default_factory=list)


def look(root: Path, memo: Memo, *, now: float) -> Look:
    """Look at a project.

    Args:
        root: The project's folder.
        memo: What was remembered; it is not changed.
        now: The time, in seconds since the epoch.

    Raises:
        SettingsError: Where there is no project, or ``autograms.toml`` does not parse.
    """
    return _Looking(load_project(root), memo, now).run()


class _Looking:
    """One look: compares every file with what was remembered, and reads those autograms whose files differ."""

    def __init__(self, project: Project, memo: Memo, now: float) -> None:
        self.project = project
        self.before = memo
        self.after = Memo(gone=dict(memo.gone))
        self.found = Look(self.after)
        self.now = now
        self.stats: dict[str, Stat] = {}
        self.shared = [project.settings_file, *(project.root / folder for folder in _FOLDERS)]
        self.shared_changed = any(self._differs(self._key(path)) for path in self.shared)

    def run(self) -> Look:
        """Look at every autogram."""
        names = self.project.names()
        for name in names:
            self._look_at(name)
        for name, seen in self.before.autograms.items():
            if name not in self.after.autograms:
                self.after.gone[name] = seen.generation
        if not self.found.waiting:
            self._remember(self._key(path) for path in self.shared)
        return self.found

    def _look_at(self, name: str) -> None:
        seen = self.before.autograms.get(name)
        if seen is not None and not self.shared_changed and not any(self._differs(file) for file in seen.files):
            self._keep(name, seen)
            return
        seen = seen or Seen(self.after.gone.pop(name, 0))
        settings, files, problem = self._files(name)
        if self._being_written(files):
            self.found.waiting.append(name)
            self._keep(name, Seen(seen.generation, seen.digest, seen.files, None), read=False)
            return
        digest = seen.digest
        if problem is None:
            digest, problem = self._digest(name, settings, files)
        generation = seen.generation + (digest != seen.digest)
        if digest != seen.digest:
            self.found.changed.append(Changed(name, generation, digest))
        if problem is not None and problem != seen.problem:
            self.found.new_problems.append(name)
        self._keep(name, Seen(generation, digest, files, problem))

    def _keep(self, name: str, seen: Seen, *, read: bool = True) -> None:
        self.after.autograms[name] = seen
        if read:
            self._remember(seen.files)
        else:
            for file in seen.files:
                self.after.stats.setdefault(file, self.before.stats.get(file, (-1, 0)))
        if seen.digest:
            self.found.names.append(name)
        if seen.problem is not None:
            self.found.problems[name] = seen.problem

    def _files(self, name: str) -> tuple[AutogramSettings | None, list[str], str | None]:
        """Return the autogram's settings, its files, and what is wrong with either."""
        entry = self.project.root / "chatbots" / f"{name}.py"
        root = self.project.root
        files = local_files(entry, root=root)
        try:
            if not is_partition_name(name):
                raise SettingsError(f"{entry}: the file's name cannot be a partition's; {PARTITION_NAMES}; rename it")
            settings = self.project.settings(name)
            userbot = self.project.userbot_file(settings)
            if userbot is not None:
                files += local_files(userbot, root=root)
            scenarios = self.project.scenario_file(settings)
            if scenarios is not None:
                files.append(scenarios)
            files += _folders_of(root, settings.files)
            files += self.project.data_files(settings)
        except AutogramsError as error:
            return None, [self._key(path) for path in files], str(error)
        return settings, list(dict.fromkeys(self._key(path) for path in files)), None

    def _digest(self, name: str, settings: AutogramSettings | None, files: list[str]) -> tuple[str, str | None]:
        """Return the hash of all that the autogram's chain depends on; the old one, and the problem, where broken."""
        assert settings is not None
        try:
            sources = read_sources(self.project, self.project.chatbot_file(name), settings)
            scenarios = self.project.scenario_file(settings)
            parts: dict[str, Any] = {
                "programs": sources.digest,
                "scenarios": _scenario_version(scenarios) if scenarios else None,
                "settings": settings.model_dump(mode="json", exclude={"concurrency"}),
            }
        except AutogramsError as error:
            before = self.before.autograms.get(name)
            return before.digest if before else "", str(error)
        return combine(parts), None

    def _being_written(self, files: Iterable[str]) -> bool:
        fresh = [file for file in [*files, self._key(self.project.settings_file)] if self._unsettled(file)]
        for file in fresh:
            self.after.pending[file] = self._stat(file)
        return bool(fresh)

    def _unsettled(self, file: str) -> bool:
        stat = self._stat(file)
        age = self.now - stat[1] / 1e9
        settled = age >= SETTLED_SECONDS or self.before.pending.get(file) == stat
        return self._differs(file) and stat[0] >= 0 and not settled

    def _differs(self, file: str) -> bool:
        return self.before.stats.get(file) != self._stat(file)

    def _remember(self, files: Iterable[str]) -> None:
        for file in files:
            self.after.stats[file] = self._stat(file)

    def _stat(self, file: str) -> Stat:
        if file not in self.stats:
            self.stats[file] = _stat(self.project.root / file)
        return self.stats[file]

    def _key(self, path: Path) -> str:
        return os.path.relpath(path, self.project.root)


def _folders_of(root: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the folders in which files may come and go that the patterns name."""
    folders: dict[Path, None] = {}
    for pattern in patterns:
        parts = Path(pattern).parts[:-1]
        if Path(pattern).is_absolute() or ".." in parts:
            continue
        fixed = root.joinpath(*itertools.takewhile(lambda part: not set(part) & set("*?["), parts))
        deeper = fixed.rglob("*") if len(fixed.relative_to(root).parts) < len(parts) else ()
        folders.update(dict.fromkeys([fixed, *(path for path in deeper if path.is_dir())]))
    return list(folders)


def _stat(path: Path) -> Stat:
    try:
        status = path.stat()
    except OSError:
        return (-1, 0)
    return (0 if path.is_dir() else status.st_size, status.st_mtime_ns)


def _scenario_version(path: Path) -> str:
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            raise ScenarioError(f"{path} is not valid JSON: {error}; expected a list of scenarios") from None
    return file_version(path)
