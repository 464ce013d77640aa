"""Everything in an object store: a real server that speaks S3, and fsspec's memory."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from upath import UPath

from autograms.errors import RecordError
from autograms_assets.reuse import Made, Request, reuse_or_make
from autograms_assets.stamps import STAMP_FILE, Stamp
from autograms_assets.stored import Folder, Stored
from autograms_assets.workspace import Workspace
from tests.autograms_assets.chains import TO_DATASETS, Chain
from tests.autograms_assets.projects import CHATBOT, ScratchProject
from tests.object_store import serve_s3

BUCKET = "autograms-test"
STAMP = Stamp("f" * 32, "v1", {}, {"rows": 2})
ALL = (*TO_DATASETS, "sft_model", "dpo_model", "evaluation", "leaderboard")


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with serve_s3(BUCKET) as environment:
        yield environment


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def folder(url: str, work: Path) -> Folder:
    return Folder(UPath(url) / "sft_model" / "desk", work)


def fill(place: Folder, **files: str) -> None:
    shutil.rmtree(place.work, ignore_errors=True)
    for name, text in files.items():
        path = place.work / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_folder_comes_back_on_another_machine(url: str, tmp_path: Path) -> None:
    mine, theirs = folder(url, tmp_path / "mine"), folder(url, tmp_path / "theirs")
    fill(mine, config="{}", base__weights="1" * 100)
    assert (mine.exists(), mine.stamp()) == (False, None)
    mine.write(STAMP)
    assert (theirs.exists(), theirs.stamp(), theirs.version) == (True, STAMP, "v1")
    found = theirs.local()
    assert {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()} == {
        "config",
        "base/weights",
        STAMP_FILE,
    }
    assert (found / "base" / "weights").read_text() == "1" * 100


def test_what_was_fetched_is_not_fetched_again_until_it_changed(url: str, tmp_path: Path) -> None:
    mine, theirs = folder(url, tmp_path / "mine"), folder(url, tmp_path / "theirs")
    fill(mine, config="one", only_once="x")
    mine.write(STAMP)
    (theirs.local() / "config").write_text("kept")
    assert (theirs.local() / "config").read_text() == "kept"
    fill(mine, config="two")
    mine.write(Stamp("e" * 32, "v2", {}))
    assert (theirs.local() / "config").read_text() == "two"
    assert not (theirs.local() / "only_once").exists()


def test_an_upload_that_breaks_off_leaves_nothing_that_counts(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(url, tmp_path / "mine")
    fill(place, config="one")
    place.write(STAMP)
    fill(place, config="two", unreadable="x")
    monkeypatch.setattr("autograms_assets.stored.shutil.copyfileobj", _breaks_off)
    with pytest.raises(OSError, match="the line went dead"):
        place.write(Stamp("e" * 32, "v2", {}))
    assert not place.exists()
    with pytest.raises(RecordError, match="carries no stamp of an asset; materialize it again"):
        folder(url, tmp_path / "theirs").local()


def _breaks_off(*_: object) -> None:
    raise OSError("the line went dead")


def test_a_folder_without_its_stamp_does_not_count(url: str, tmp_path: Path) -> None:
    place = folder(url, tmp_path / "mine")
    fill(place, config="one")
    place.write(STAMP)
    workspace = Workspace(tmp_path, UPath(url), beside=tmp_path)
    assert list(workspace.folders("sft_model")) == ["desk"]
    place.invalidate()
    assert workspace.folders("sft_model") == {}
    assert workspace.folders("evaluation") == {}


def test_the_chain_up_to_the_datasets(
    url: str, project: ScratchProject, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    project.add("desk", CHATBOT.replace(", supervisor=formal", ""))
    chain = Chain(project, instance, url)
    first = chain.run()
    assert (first.success, first.made, first.failures) == (True, set(TO_DATASETS), {})
    assert first.metadata["sft_dataset"]["path"] == f"{url}/sft_dataset/desk.parquet"
    again = chain.run()
    assert (again.reused, again.versions) == (set(TO_DATASETS), first.versions)
    project.edit("scenarios/items.json", "lamp", "table")
    assert chain.run().metadata["conversation_memories"]["reused calls"] == 9


@pytest.mark.long
def test_the_whole_chain_on_two_machines(
    s3: dict[str, str],
    project: ScratchProject,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    first = Chain(project, instance, url).run(*ALL)
    assert (first.success, first.failures) == (True, {})
    monkeypatch.chdir(tmp_path / "two")
    chain = Chain(project, instance, url)
    assert chain.run(*ALL).reused == set(ALL)
    project.edit("autograms.toml", "[defaults.dpo]", "[defaults.dpo]\nbeta = 0.3")
    assert chain.run(*ALL).made == {"dpo_model", "evaluation", "leaderboard"}


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serve_s3(BUCKET, checks_keys=True) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/x"


@pytest.mark.parametrize("asset", ["autogram", "conversation_memories"])
def test_a_missing_bucket_is_one_clear_failure_and_is_not_made(
    s3: dict[str, str],
    project: ScratchProject,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    asset: str,
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    outcome = Chain(project, instance, "s3://no-such-bucket/x").run(asset)
    assert "cannot be used: there is no such bucket; create it" in outcome.failures[asset]
    assert "Traceback" not in outcome.failures[asset]
    assert not UPath("s3://no-such-bucket").fs.exists("no-such-bucket")


@pytest.mark.parametrize("asset", ["autogram", "conversation_memories"])
def test_a_refused_key_is_one_clear_failure(
    refusing: str, project: ScratchProject, instance: dg.DagsterInstance, asset: str
) -> None:
    failure = Chain(project, instance, refusing).run(asset).failures[asset]
    assert failure.startswith(f"the storage {refusing}")
    assert "access was refused" in failure
    assert "look at AWS_ACCESS_KEY_ID" in failure
    assert "Traceback" not in failure


def test_two_runs_that_want_the_same_make_it_once(url: str) -> None:
    made: list[int] = []

    def make() -> Made:
        made.append(1)
        time.sleep(0.5)
        return Made("v1", table=pa.table({"a": [1]}))

    def run() -> None:
        place = Stored(UPath(url) / "scenarios" / "desk.parquet")
        reuse_or_make(place, {"a": 1}, make, request=Request(False, logging.getLogger("test")))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made == [1]
