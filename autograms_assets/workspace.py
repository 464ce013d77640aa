"""One project and its storage: what every asset body works on.

What does not belong here: reading environment variables (``dagster_project.resources`` does, once, at load time).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.conversation.storage import scratch_root
from autograms.errors import SettingsError
from autograms.settings import AutogramSettings, Project, load_project
from autograms.settings.chatbots import rootless
from autograms_assets.fingerprints import Program, combine, file_version, read_program
from autograms_assets.partitions import PARTITION_NAMES, is_partition_name
from autograms_assets.stored import Folder, Stored

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["Sources", "Workspace", "read_sources"]


@dataclass(frozen=True, slots=True)
class Sources:
    """The programs of one autogram.

    Attributes:
        chatbot: The autogram itself.
        userbot: The program that plays the user, ``None`` where a plain user plays.
        data: Data files that they open: path inside the project to content hash.
    """

    chatbot: Program
    userbot: Program | None
    data: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hash of both programs, and of the data files that they open."""
        programs = {"chatbot": self.chatbot.digest, "userbot": self.userbot.digest if self.userbot else None}
        return combine({**programs, "data": self.data} if self.data else programs)


@dataclass(frozen=True)
class Workspace:
    """A project's folder and where its results are stored.

    Attributes:
        root: The project's folder.
        storage: The storage's root: a folder or an object store's path.
        beside: Folder of this machine that unfinished work is kept in where the storage is an object store.
    """

    root: Path
    storage: Path | UPath
    beside: Path = Path("storage")

    def project(self) -> Project:
        """Read the project's settings as they are now.

        Raises:
            SettingsError: Where the folder is missing or ``autograms.toml`` is wrong.
        """
        return load_project(self.root)

    def settings(self, name: str) -> AutogramSettings:
        """Return an autogram's settings as they are now.

        Raises:
            SettingsError: Where there is no such autogram, or its settings are wrong.
        """
        project = self.project()
        project.chatbot_file(name)
        return project.settings(name)

    def sources(self, name: str) -> Sources:
        """Read an autogram's programs and the local modules that they import.

        Raises:
            SettingsError: Where there is no such autogram, or its settings are wrong.
            ProgramFileError: Where a file does not parse.
        """
        project = self.project()
        return read_sources(project, project.chatbot_file(name), project.settings(name))

    def stored(self, asset: str, name: str | None = None) -> Stored:
        """Return where an asset's table is stored; unpartitioned assets have no ``name``."""
        if name is None:
            return Stored(self.storage / f"{asset}.parquet")
        return Stored(self.storage / asset / f"{_checked(name)}.parquet")

    def folder(self, asset: str, name: str) -> Folder:
        """Return where an asset's folder is stored."""
        path = self.storage / asset / _checked(name)
        return Folder(path, path if isinstance(path, Path) else self._scratch() / "folders" / asset / name)

    def folders(self, asset: str) -> dict[str, Folder]:
        """Return the folders of an asset that are finished, by autogram."""
        root = self.storage / asset
        found = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        folders = {name: self.folder(asset, name) for name in found if is_partition_name(name)}
        return {name: folder for name, folder in folders.items() if folder.exists()}

    def scratch(self, asset: str, name: str) -> Path:
        """Return a folder of this machine for an asset's unfinished work: journals, checkpoints. It is made."""
        path = self._scratch() / asset / _checked(name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _scratch(self) -> Path:
        return scratch_root(self.storage, self.beside)


def read_sources(project: Project, chatbot: Path, settings: AutogramSettings) -> Sources:
    """Read an autogram's programs from their files, and hash the data files that they open.

    Raises:
        SettingsError: Where a file that the settings name is missing.
        ProgramFileError: Where a file does not parse, or defines no ``chatbot()``.
    """
    problem = rootless(chatbot)
    if problem is not None:
        raise problem
    userbot, root = project.userbot_file(settings), project.root
    return Sources(
        read_program(chatbot, root=root),
        read_program(userbot, root=root) if userbot is not None else None,
        {path.relative_to(root).as_posix(): file_version(path) for path in project.data_files(settings)},
    )


def _checked(name: str) -> str:
    if not is_partition_name(name):
        raise SettingsError(f"{name!r} cannot name an autogram; {PARTITION_NAMES}")
    return name
