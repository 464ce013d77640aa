from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from upath import UPath

from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.workspace import Workspace
from dagster_project.sensors import autogram_files
from tests.autograms_assets.projects import CHATBOT, ScratchProject, make_project
from tests.dagster_project.conftest import Looked


class Daemon:
    """Evaluates the sensor as Dagster's daemon does: applies what it asks for and keeps its cursor."""

    def __init__(self, project: ScratchProject, instance: dg.DagsterInstance) -> None:
        self.workspace = Workspace(project.root, UPath(project.root.parent / "storage"))
        self.instance = instance
        self.cursor: str | None = None
        self.run_keys: set[str] = set()

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = autogram_files(context, workspace=self.workspace)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition(request.partitions_def_name, key)
        return result

    def runs(self) -> list[str | None]:
        """Tick, and return the partitions of the runs that Dagster launches: none whose key it has seen."""
        requests = self.tick().run_requests or []
        new = [request for request in requests if request.run_key not in self.run_keys]
        self.run_keys |= {request.run_key for request in requests if request.run_key}
        return [request.partition_key for request in new]

    @property
    def partitions(self) -> set[str]:
        return set(self.instance.get_dynamic_partitions(str(AUTOGRAMS.name)))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def daemon(project: ScratchProject, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(project, instance)


def test_registers_and_runs_what_is_there(daemon: Daemon) -> None:
    assert daemon.runs() == ["desk"]
    assert daemon.partitions == {"desk"}
    assert daemon.runs() == []


def test_there_and_back_again_runs_each_time(daemon: Daemon, project: ScratchProject) -> None:
    launched = [daemon.runs()]
    for old, new in (("formally", "briefly"), ("briefly", "formally")):
        project.edit("chatbots/desk.py", old, new)
        launched.append(daemon.runs())
    assert launched == [["desk"]] * 3


def test_a_renamed_autogram_moves_its_partition(daemon: Daemon, project: ScratchProject) -> None:
    daemon.runs()
    (project.root / "chatbots/desk.py").rename(project.root / "chatbots/counter.py")
    assert daemon.runs() == ["counter"]
    assert daemon.partitions == {"counter"}


def test_a_deleted_autogram_loses_its_partition(daemon: Daemon, project: ScratchProject) -> None:
    daemon.runs()
    project.remove("chatbots/desk.py")
    note = daemon.tick().skip_reason
    assert note is not None
    assert note.skip_message == "removed: desk"
    assert daemon.partitions == set()


def test_a_broken_file_gets_one_clear_note(daemon: Daemon, project: ScratchProject) -> None:
    daemon.runs()
    project.write("chatbots/desk.py", "def chatbot(:\n")
    project.add("other")
    assert daemon.runs() == ["other"]
    assert daemon.partitions == {"desk", "other"}
    note = daemon.tick().skip_reason
    assert note is not None
    assert note.skip_message is not None
    assert "desk cannot run" in note.skip_message
    assert "desk.py:1: invalid syntax" in note.skip_message
    project.add("desk", CHATBOT.replace("formally", "briefly"))
    assert daemon.runs() == ["desk"]


def test_a_half_written_file_waits(daemon: Daemon, project: ScratchProject) -> None:
    daemon.runs()
    project.write("chatbots/desk.py", CHATBOT[:100], age=0)
    note = daemon.tick().skip_reason
    assert note is not None
    assert note.skip_message == "still being written: desk"
    project.add("desk", CHATBOT.replace("formally", "briefly"))
    assert daemon.runs() == ["desk"]


def test_broken_settings_are_a_note_and_change_nothing(daemon: Daemon, project: ScratchProject) -> None:
    daemon.runs()
    cursor = daemon.cursor
    project.write("autograms.toml", "[defaults")
    note = daemon.tick().skip_reason
    assert note is not None
    assert "not valid TOML" in str(note.skip_message)
    assert (daemon.cursor, daemon.partitions) == (cursor, {"desk"})


def test_ten_edits_are_ten_runs(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    project = make_project(tmp_path / "project", *(f"desk{number}" for number in range(10)))
    daemon = Daemon(project, instance)
    assert len(daemon.runs()) == 10
    project.edit("chatbots/_wording.py", "Dear", "Esteemed")
    assert len(daemon.runs()) == 10


def test_a_lost_cursor_repeats_no_run(daemon: Daemon) -> None:
    daemon.runs()
    daemon.cursor = None
    assert daemon.runs() == []


def test_a_tick_over_five_hundred_autograms_opens_none(
    tmp_path: Path, instance: dg.DagsterInstance, looked: Looked
) -> None:
    project = make_project(tmp_path / "project", *(f"desk{number}" for number in range(500)))
    daemon = Daemon(project, instance)
    assert len(daemon.runs()) == 500
    looked.opened.clear()
    looked.stats = 0
    assert daemon.runs() == []
    assert looked.opened_in(project.root) == ["autograms.toml"]
    assert looked.stats < 5 * 500
