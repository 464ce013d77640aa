"""Which models an autogram of the project is opened with."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograms.cli.programs import open_autogram
from tests.cli.conftest import CHATBOT

SETTINGS = """
[autograms.bot]
model = "offline/demo"
config = { classifier_type = "openai", classifier_path = "judge", base_url = "http://gpu/v1" }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "chatbots").mkdir()
    (tmp_path / "chatbots" / "bot.py").write_text(CHATBOT)
    (tmp_path / "autograms.toml").write_text(SETTINGS)
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path))
    monkeypatch.setenv("AUTOGRAMS_STORAGE", str(tmp_path / "storage"))
    return tmp_path


def test_a_deployed_model_decides_itself(project: Path) -> None:
    trained = project / "storage" / "sft_model" / "bot"
    trained.mkdir(parents=True)
    (trained / "config.json").write_text("{}")
    for model, name in ((None, f"checkpoint/{trained}"), ("openai/student", "openai/student")):
        deployed = open_autogram("bot", model=model)[0]
        assert (deployed.model.name, deployed.classifier) == (name, None)


def test_the_teacher_has_the_classifier_of_the_settings(project: Path) -> None:
    teacher = open_autogram("bot", supervisor_mode=True)[0]
    assert teacher.classifier is not None
    assert (teacher.model.name, teacher.classifier.name) == ("offline/demo", "openai/judge")
