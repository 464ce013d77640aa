"""The pictures of Dagster's UI in these pages, taken from the running UI.

By hand, while ``make dev`` runs: ``.venv/bin/python -m docs.make_images [URL] [PICTURE ...]``. It needs Chromium. The
graph is green where every autogram of the project was materialized; the plan is that of ``article_helper``, of which
``autogram`` and ``scenarios`` are. What does not belong here: testing the UI (``tests/browser``).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.browser.chromium import launch
from tests.browser.ui import open_graph, open_metadata, seen

__all__ = ["main"]

_IMAGES = Path(__file__).parent / "images"
_URL = "http://127.0.0.1:3000"
_AUTOGRAM = "support_desk"
_PLANNED = "article_helper"
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


def around(page: Page, png: bytes, *assets: str) -> bytes:
    """Cut out the part of a picture of the graph that shows these assets, with what stands below their names."""
    boxes = [box for box in (seen(page, asset).bounding_box() for asset in assets) if box is not None]
    assert len(boxes) == len(assets)
    left, top = min(box["x"] for box in boxes) - 3 * _MARGIN, min(box["y"] for box in boxes) - 4 * _MARGIN
    right = max(box["x"] + box["width"] for box in boxes) + 8 * _MARGIN
    bottom = max(box["y"] for box in boxes) + 7 * _MARGIN
    cut = Image.open(io.BytesIO(png)).crop((round(left), round(top), round(right), round(bottom)))
    out = io.BytesIO()
    cut.save(out, format="png")
    return out.getvalue()


def metadata(page: Page, url: str, asset: str, last: str, autogram: str = _AUTOGRAM) -> bytes:
    """Take what was recorded of an asset, down to the row that is named last."""
    open_metadata(page, url, asset, autogram)
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


def _pictures(url: str) -> dict[str, Callable[[Page], bytes]]:
    """Return what takes each picture, by its name."""
    shown = ("conversation_memories", "dpo_dataset", "sft_model", "dpo_model")
    return {
        "asset-graph": lambda page: graph(page, url, width=1600, height=760),
        "asset-graph-details": lambda page: around(page, graph(page, url, width=2560, height=1080), *shown),
        "scenarios-metadata": lambda page: metadata(page, url, "scenarios", "planned cost (USD)", _PLANNED),
        "memories-metadata": lambda page: metadata(page, url, "conversation_memories", "sample 3"),
        "sft-model-metadata": lambda page: metadata(page, url, "sft_model", "lengths"),
        "evaluation-metadata": lambda page: metadata(page, url, "evaluation", "DPO: exact match after"),
        "evaluation-report": lambda page: markdown(page, url, "evaluation", "report"),
    }


def main(argv: list[str] | None = None) -> int:
    """Take the pictures that are named, or all."""
    url, *names = (sys.argv[1:] if argv is None else argv) or [_URL]
    pictures = _pictures(url.rstrip("/"))
    _IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for name in names or pictures:
            page = browser.new_page(viewport={"width": 1600, "height": 1000 if name == "evaluation-report" else 1400})
            _save(name, pictures[name](page))
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
