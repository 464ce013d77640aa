import io
import os
from pathlib import Path
from typing import Any

import pytest

from tests.autograms_assets.projects import ScratchProject, make_project


@pytest.fixture
def project(tmp_path: Path) -> ScratchProject:
    return make_project(tmp_path / "project", "desk")


class Looked:
    """What was done to files: the measure of a look's cost that does not depend on how busy the machine is.

    Attributes:
        opened: The files that were opened.
        stats: How often a file's size and time were asked for.
    """

    def __init__(self) -> None:
        self.opened: list[Path] = []
        self.stats = 0

    def opened_in(self, folder: Path) -> list[str]:
        return [str(path.relative_to(folder)) for path in self.opened if path.is_relative_to(folder)]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    """Count from here on what is done to files by way of ``pathlib``."""
    found = Looked()
    real_open, real_stat = io.open, os.stat

    def counted_open(file: Any, *arguments: Any, **options: Any) -> Any:
        found.opened.append(Path(str(file)))
        return real_open(file, *arguments, **options)

    def counted_stat(*arguments: Any, **options: Any) -> os.stat_result:
        found.stats += 1
        return real_stat(*arguments, **options)

    monkeypatch.setattr(io, "open", counted_open)
    monkeypatch.setattr(os, "stat", counted_stat)
    return found
