"""The automation conditions, evaluated by Dagster's own helper for tests."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from dagster_project.build import build_defs
from tests.autograms_assets.projects import ScratchProject

CHAIN = {
    "autogram",
    "scenarios",
    "conversation_memories",
    "sft_dataset",
    "dpo_dataset",
    "sft_model",
    "dpo_model",
    "evaluation",
}


class Conditions:
    """Evaluates the conditions as Dagster's daemon does, and keeps their cursor."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.defs = build_defs()
        self.cursor = None

    def requested(self) -> dict[str, set[str | None]]:
        """Tick, and return the partitions that are requested, by asset."""
        result = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        keys = self.defs.resolve_asset_graph().get_all_asset_keys()
        found = {key.to_user_string(): result.get_requested_partitions(key) for key in keys}
        return {asset: partitions for asset, partitions in found.items() if partitions}

    def register(self, *names: str) -> None:
        self.instance.add_dynamic_partitions("autogram", list(names))

    def finish(self, asset: str, partition: str | None) -> None:
        """Report an asset as materialized."""
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))


@pytest.fixture
def conditions(project: ScratchProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Conditions]:
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(project.root))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Conditions(instance)


def chain_of(*names: str) -> dict[str, set[str]]:
    return {asset: set(names) for asset in CHAIN}


def test_a_new_autogram_requests_its_whole_chain_once(conditions: Conditions) -> None:
    conditions.register("desk")
    assert conditions.requested() == chain_of("desk")
    assert conditions.requested() == {}


def test_only_the_edited_one_is_requested(conditions: Conditions, project: ScratchProject) -> None:
    project.add("other")
    conditions.register("desk", "other")
    assert conditions.requested() == chain_of("desk", "other")
    project.edit("chatbots/other.py", "formally", "briefly")
    assert conditions.requested() == chain_of("other")


@pytest.mark.parametrize(
    ("file", "old", "new", "requested"),
    [
        ("chatbots/desk.py", "def formal", "# why\ndef formal", False),
        ("chatbots/_wording.py", "Dear", "Esteemed", True),
        ("userbots/customer.py", "question", "complaint", True),
        ("scenarios/items.json", "lamp", "table", True),
        ("autograms.toml", "[defaults.dpo]", "[defaults.dpo]\nbeta = 0.2", True),
        ("autograms.toml", "userbot =", "concurrency = 3\nuserbot =", False),
    ],
)
def test_an_edit_requests_what_the_sensor_would(
    conditions: Conditions, project: ScratchProject, file: str, old: str, new: str, requested: bool
) -> None:
    conditions.register("desk")
    conditions.requested()
    project.edit(file, old, new)
    assert conditions.requested() == (chain_of("desk") if requested else {})


def test_an_autogram_waits_for_its_partition(conditions: Conditions) -> None:
    assert conditions.requested() == {}
    conditions.register("desk")
    assert conditions.requested() == chain_of("desk")


def test_a_broken_file_or_project_requests_nothing(conditions: Conditions, project: ScratchProject) -> None:
    project.add("broken", "def chatbot(:")
    conditions.register("desk", "broken")
    assert conditions.requested() == chain_of("desk")
    text = (project.root / "autograms.toml").read_text()
    project.write("autograms.toml", "[defaults")
    assert conditions.requested() == {}
    project.write("autograms.toml", text)
    assert conditions.requested() == {}


def test_the_leaderboard_follows_what_was_evaluated(conditions: Conditions) -> None:
    conditions.register("desk")
    conditions.requested()
    conditions.finish("evaluation", "desk")
    assert set(conditions.requested()) == {"leaderboard"}
