"""The gestures of a user in Dagster's UI, by the words and roles that the user sees.

What does not belong here: what is expected to come of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = ["launch_in_launchpad", "materialize_in_dialog", "open_graph", "open_metadata", "seen"]


_TRIES = 12
_A_TRY = 5_000
"""Milliseconds."""


def seen(place: Page | Locator, text: str) -> Locator:
    """Return the first element that shows just this text; copies that the UI hides to measure them do not count."""
    return place.get_by_text(text, exact=True).locator("visible=true").first


def open_graph(page: Page, url: str) -> None:
    """Open the lineage of all assets, and every group in it."""
    page.goto(f"{url}/asset-groups")
    seen(page, "conversations").wait_for()
    settings = page.locator("button").filter(has=page.get_by_role("img", name="settings", exact=True)).last
    _choose(page, settings, page.get_by_role("menuitem", name="Expand all groups"))
    page.wait_for_url("**expanded=**")
    page.keyboard.press("Escape")
    page.get_by_role("menuitem").first.wait_for(state="hidden")


def launch_in_launchpad(page: Page, url: str, asset: str, partition: str, *, force: bool = False) -> None:
    """Open an asset's launchpad, choose a partition there and materialize it; the page is the run's afterwards.

    Args:
        page: The browser's page.
        url: The UI's address.
        asset: The asset.
        partition: The partition.
        force: Write ``force: true`` into the configuration, by the help that the launchpad shows beside it.
    """
    page.goto(f"{url}/assets/{asset}")
    more = page.get_by_role("button", name="Materialize").first.locator("xpath=following::button[1]")
    _choose(page, more, page.get_by_role("menuitem", name="Open launchpad"))
    launchpad = page.get_by_role("dialog").filter(has_text="Launchpad")
    _choose(page, launchpad.get_by_placeholder("Partition"), page.get_by_role("menuitem", name=partition, exact=True))
    seen(launchpad, f"partition: {partition}").wait_for()
    if force:
        seen(launchpad, "false").dblclick()
        launchpad.get_by_text("although nothing changed").wait_for()
        page.keyboard.type("true")
        seen(launchpad, "true").wait_for()
    launchpad.get_by_role("button", name="Materialize").click()
    page.wait_for_url("**/runs/**")


def materialize_in_dialog(page: Page, url: str, asset: str, partition: str) -> None:
    """Materialize one partition by the dialog behind the button "Materialize..."; the page is the run's afterwards."""
    page.goto(f"{url}/assets/{asset}")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog").filter(has_text=f"Launch runs to materialize {asset}")
    choices = page.get_by_role("dialog").filter(has=page.get_by_placeholder("Filter partitions")).last
    _choose(page, dialog.get_by_text("Select a partition or create one"), seen(choices, partition))
    dialog.get_by_role("button", name="Launch 1 run").click()
    page.get_by_text("Launched run").wait_for()
    seen(page, "View").click()
    page.wait_for_url("**/runs/**")


def open_metadata(page: Page, url: str, asset: str, partition: str) -> None:
    """Open what was recorded of a partition's last materialization."""
    page.goto(f"{url}/assets/{asset}?view=partitions&partition={partition}")
    seen(page, "Metadata").wait_for()


def _choose(page: Page, opener: Locator, choice: Locator) -> None:
    """Open a menu and choose from it; once more where the page was drawn anew meanwhile, which closes its menus."""
    from playwright.sync_api import TimeoutError as Late

    for _ in range(_TRIES):
        try:
            if not choice.is_visible():
                opener.click(timeout=_A_TRY)
            choice.click(timeout=_A_TRY)
            return
        except Late:
            continue
    raise AssertionError(f"no {choice} after {_TRIES} tries to open its menu by {opener}")
