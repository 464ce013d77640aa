import re
from collections.abc import Iterator

import dagster as dg
import pytest

from autograms.errors import SettingsError
from dagster_project.sync import main, sync
from tests.autograms_assets.projects import ScratchProject


@pytest.fixture
def instance(project: ScratchProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(project.root))
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_partitions_follow_the_files(instance: dg.DagsterInstance, project: ScratchProject) -> None:
    project.add("other")
    assert sync(instance).added == ["desk", "other"]
    project.remove("chatbots/desk.py")
    assert sync(instance).removed == ["desk"]
    assert instance.get_dynamic_partitions("autogram") == ["other"]


def test_names_register_those_alone(instance: dg.DagsterInstance, project: ScratchProject) -> None:
    project.add("other")
    assert sync(instance, ["other"]).added == ["other"]
    assert sync(instance, ["other"]).added == []


def test_an_unknown_name_names_the_nearest(instance: dg.DagsterInstance) -> None:
    with pytest.raises(SettingsError, match=r"no autogram 'dekc'.*did you mean 'desk'"):
        sync(instance, ["dekc"])


def test_names_that_cannot_be_partitions_are_left_out(instance: dg.DagsterInstance, project: ScratchProject) -> None:
    project.add("a,b")
    synced = sync(instance)
    assert (synced.names, len(synced.refused)) == (["desk"], 1)
    assert re.search(r"a,b\.py: 'a,b' cannot be .* expected A-Z.* rename the file", str(synced.refused[0]))


def test_a_module_that_nobody_imports_is_left_out(instance: dg.DagsterInstance, project: ScratchProject) -> None:
    project.add("prices", "PRICE = 1\n")
    synced = sync(instance)
    assert synced.names == ["desk"]
    assert "prices.py defines no chatbot()" in str(synced.refused[0])


def test_whatever_is_left_out_is_told_and_makes_the_status(
    project: ScratchProject,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.add("mein grüßer")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(project.root))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("home")))
    assert main([]) == 2
    told = capsys.readouterr()
    assert "partitions: desk" in told.out
    assert "error: " in told.err
    assert "mein grüßer.py" in told.err


@pytest.mark.parametrize(("arguments", "message"), [(["nobody"], "no autogram 'nobody'"), (["../x"], "no autogram")])
def test_the_command_ends_with_one_message(
    project: ScratchProject,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(project.root))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("home")))
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
