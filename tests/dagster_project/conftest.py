from pathlib import Path

import pytest

from tests.autograms_assets.projects import ScratchProject, make_project


@pytest.fixture
def project(tmp_path: Path) -> ScratchProject:
    return make_project(tmp_path / "project", "desk")
