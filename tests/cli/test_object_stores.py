"""``autograms show`` and ``autograms plan`` over an object store, and what they say where it cannot be used."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from upath import UPath

from autograms.cli.main import main
from autograms.cli.stored_models import find_model
from autograms.conversation.parquet import write_memories
from autograms.settings import load_project
from autograms.simulation.project import open_simulator, scenarios_of
from tests.cli.conftest import Run, assert_one_message
from tests.object_store import serve_s3

BUCKET = "autograms-test"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with serve_s3(BUCKET) as environment:
        yield environment


@pytest.fixture(scope="module")
def refusing() -> Iterator[dict[str, str]]:
    with serve_s3(BUCKET, checks_keys=True) as environment:
        yield environment


@pytest.fixture(autouse=True)
def project(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run("init", tmp_path / "p")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path / "p"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    return tmp_path / "p"


@pytest.fixture(params=["memory", "s3"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> UPath:
    if request.param == "memory":
        return use(monkeypatch, f"memory://{uuid.uuid4().hex}")
    return use(monkeypatch, f"s3://{BUCKET}/{uuid.uuid4().hex}", request.getfixturevalue("s3"))


def use(monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str] | None = None) -> UPath:
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AUTOGRAMS_STORAGE", url)
    return UPath(url)


def simulate_into(storage: UPath) -> None:
    project = load_project()
    simulation = open_simulator(project, "greeter").run(scenarios_of(project, project.settings("greeter")))
    write_memories(storage / "conversation_memories" / "greeter.parquet", simulation.memories)


def test_show_reads_what_is_stored(run: Run, storage: UPath) -> None:
    assert_one_message(run("show", "greeter"), f"nothing is stored for 'greeter' in {storage}")
    simulate_into(storage)
    shown = run("show", "greeter")
    assert shown.status == 0, shown.err
    assert "conversations │ 48" in shown.out
    assert "conversation_memories" in run("show").out


def test_plan_knows_what_is_stored(run: Run, storage: UPath) -> None:
    assert "never simulated: 48" in run("plan", "greeter").out
    simulate_into(storage)
    assert "nothing changed" in run("plan", "greeter").out


def test_the_way_back_from_a_row(run: Run, storage: UPath) -> None:
    simulate_into(storage)
    assert_one_message(run("show", "--row", "abcdef"), f"no row 'abcdef' in the datasets of greeter in {storage}")


def test_a_model_is_fetched(storage: UPath) -> None:
    for name, text in (("config.json", "{}"), ("base/weights", "w"), ("stamp.json", "1")):
        (storage / "sft_model" / "greeter" / name).parent.mkdir(parents=True, exist_ok=True)
        (storage / "sft_model" / "greeter" / name).write_text(text)
    folder = find_model("greeter").folder
    assert (folder / "base" / "weights").read_text() == "w"


@pytest.mark.parametrize("command", ["show", "plan"])
def test_a_missing_bucket_is_named_and_not_made(
    run: Run, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    storage = use(monkeypatch, "s3://no-such-bucket/x", s3)
    assert_one_message(
        run(command, "greeter"),
        "the storage s3://no-such-bucket/x cannot be used: there is no such bucket; create it, or name another in "
        "AUTOGRAMS_STORAGE",
    )
    assert not storage.fs.exists("no-such-bucket")


def test_a_refused_key(run: Run, refusing: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"s3://{BUCKET}/x", {**refusing, "AWS_SECRET_ACCESS_KEY": "s3cret"})
    ended = run("show", "greeter")
    assert_one_message(ended, f"the storage s3://{BUCKET}/x cannot be used: access was refused", "AWS_ACCESS_KEY_ID")
    assert "s3cret" not in ended.err


def test_no_key(run: Run, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, f"s3://{BUCKET}/x", {**s3, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert_one_message(run("plan", "greeter"), "no credentials were found", "set AWS_ACCESS_KEY_ID")


@pytest.mark.long
def test_nobody_answers(run: Run, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"s3://{BUCKET}/x", {**s3, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert_one_message(run("show", "greeter"), "Could not connect", "look at AWS_ENDPOINT_URL and the network")


def test_no_such_kind_of_storage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRAMS_STORAGE", "s4://bucket")
    assert_one_message(run("show", "greeter"), "AUTOGRAMS_STORAGE='s4://bucket' names no storage")


def test_help_needs_no_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRAMS_STORAGE", "s3://no-such-bucket")
    assert main(["show", "--help"]) == 0
