import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.autograms_assets.chains import Chain
from tests.autograms_assets.projects import ScratchProject, make_project


@pytest.fixture
def project(tmp_path: Path) -> ScratchProject:
    return make_project(tmp_path / "project", "desk")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def chain(project: ScratchProject, instance: dg.DagsterInstance) -> Chain:
    return Chain(project, instance)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project and everything up to its datasets in storage."""
    folder = tmp_path_factory.mktemp("made")
    with dg.DagsterInstance.ephemeral() as instance:
        assert Chain(make_project(folder / "project", "desk"), instance).run().success
    return folder


@pytest.fixture
def ready(made_once: Path, tmp_path: Path, instance: dg.DagsterInstance) -> Chain:
    """A chain whose assets up to the datasets are stored already."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return Chain(ScratchProject(tmp_path / "project"), instance)
