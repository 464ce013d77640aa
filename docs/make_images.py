"""The pictures of Dagster's UI in these pages, taken from the running UI.

By hand, after ``make demo`` and while ``make dev`` runs: ``.venv/bin/python -m docs.make_images [URL]``. It needs
Chromium. What does not belong here: testing the UI (``tests/browser``).
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.browser.chromium import launch
from tests.browser.ui import open_graph, open_metadata, seen

__all__ = ["main"]

_IMAGES = Path(__file__).parent / "images"
_URL = "http://127.0.0.1:3000"
_AUTOGRAM = "support_desk"
_MARGIN = 24


def graph(page: Page, url: str, *, width: int, height: int) -> bytes:
    """Take the whole graph, every group open, filling the picture."""
    page.set_viewport_size({"width": width, "height": height})
    open_graph(page, url)
    page.get_by_role("button", name="Hide navigation").click()
    page.locator("button").filter(has=page.get_by_role("img", name="panel_show_right")).last.click()
    page.get_by_placeholder("Jump to").wait_for(state="hidden")
    page.mouse.dblclick(width // 3, height - 30)  # on the empty ground: fit the graph into the view
    page.wait_for_timeout(1500)  # the view moves there
    top = page.get_by_role("button", name="Materialize all").bounding_box()
    first = seen(page, "datasets").bounding_box()
    assert top is not None
    assert first is not None
    down = top["y"] + top["height"] + 2 * _MARGIN - first["y"]
    page.mouse.move(width // 3, height - 60)
    page.mouse.down()
    page.mouse.move(width // 3, height - 60 + down, steps=5)
    page.mouse.up()
    page.mouse.move(width // 2, height - 5)
    page.wait_for_timeout(1500)
    return page.screenshot()


def metadata(page: Page, url: str, asset: str, last: str) -> bytes:
    """Take what was recorded of an asset, down to the row that is named last."""
    open_metadata(page, url, asset, _AUTOGRAM)
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=last, exact=True))
    return _down_to(page, row)


def markdown(page: Page, url: str, asset: str, row: str) -> bytes:
    """Take the dialog that shows a row's text or picture."""
    open_metadata(page, url, asset, _AUTOGRAM)
    line = page.get_by_role("row").filter(has=page.get_by_role("cell", name=row, exact=True))
    line.get_by_text("[Show Markdown]").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Close")).to_be_visible()
    page.wait_for_timeout(1000)  # the dialog fades in
    return page.screenshot()


def _down_to(page: Page, row: Locator) -> bytes:
    row.scroll_into_view_if_needed()
    box = row.bounding_box()
    size = page.viewport_size
    assert box is not None
    assert size is not None
    height = min(size["height"], box["y"] + box["height"] + 1)
    return page.screenshot(clip={"x": 0, "y": 0, "width": size["width"], "height": height})


def _save(name: str, png: bytes) -> None:
    path = _IMAGES / f"{name}.png"
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size // 1024} kB")


def main(argv: list[str] | None = None) -> int:
    """Take all pictures."""
    url = next(iter(sys.argv[1:] if argv is None else argv), _URL).rstrip("/")
    _IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)

        def page(height: int = 1400) -> Page:
            return browser.new_page(viewport={"width": 1600, "height": height})

        _save("asset-graph", graph(page(), url, width=1600, height=700))
        _save("asset-graph-details", graph(page(), url, width=2560, height=1080))
        _save("memories-metadata", metadata(page(), url, "conversation_memories", "sample 3"))
        _save("sft-model-metadata", metadata(page(), url, "sft_model", "lengths"))
        _save("evaluation-metadata", metadata(page(), url, "evaluation", "DPO: exact match after"))
        _save("evaluation-report", markdown(page(1000), url, "evaluation", "report"))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
