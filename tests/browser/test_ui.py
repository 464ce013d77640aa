"""What a user does in Dagster's UI, done in a real browser against a real `dagster dev`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.ui import launch_in_launchpad, materialize_in_dialog, open_graph, open_metadata, seen

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(400)]

ASSETS = (
    "autogram",
    "scenarios",
    "conversation_memories",
    "sft_dataset",
    "dpo_dataset",
    "sft_model",
    "dpo_model",
    "evaluation",
    "leaderboard",
)


def expect_row(page: Page, name: str, value: str) -> None:
    """Expect a line of the metadata that is shown."""
    from playwright.sync_api import expect

    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
    expect(row.get_by_role("cell").nth(1)).to_contain_text(value)


def test_the_graph_shows_every_asset(page: Page, ui: str) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 3400, "height": 1500})  # smaller ones shorten the names
    open_graph(page, ui)
    for asset in ASSETS:
        expect(seen(page, asset)).to_be_visible()
    expect(seen(page, "Hugging Face")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_partition_is_materialized_from_the_launchpad(page: Page, ui: str) -> None:
    from playwright.sync_api import expect

    launch_in_launchpad(page, ui, "conversation_memories", "desk")
    expect(seen(page, "Success")).to_be_visible()
    open_metadata(page, ui, "conversation_memories", "desk")
    expect_row(page, "reused", "false")
    expect_row(page, "conversations", "10")
    expect_row(page, "sample 1", "I have a question about the")
    expect_row(page, "sample 1", "Dear customer, we noted:")


def test_materializing_again_reuses(page: Page, ui: str) -> None:
    from playwright.sync_api import expect

    materialize_in_dialog(page, ui, "conversation_memories", "kiosk")
    expect(seen(page, "Success")).to_be_visible()
    open_metadata(page, ui, "conversation_memories", "kiosk")
    expect_row(page, "reused", "true")
    expect_row(page, "conversations", "10")


def test_force_in_the_launchpad_makes_it_again(page: Page, ui: str) -> None:
    from playwright.sync_api import expect

    launch_in_launchpad(page, ui, "autogram", "kiosk", force=True)
    expect(seen(page, "Success")).to_be_visible()
    open_metadata(page, ui, "autogram", "kiosk")
    expect_row(page, "reused", "false")
    expect_row(page, "made because", "forced")
