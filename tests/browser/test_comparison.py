"""``comparison.html`` in a real browser: hostile texts do nothing, and a phone shows all of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autograms.conversation.record import Memory
from autograms.evaluation.comparison import render_comparison
from tests.browser.chromium import NO_CHROMIUM, chromium_path, launch
from tests.evaluation.test_comparison import HOSTILE, talk

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(120)]


def shown(page: Page, folder: Path, models: dict[str, list[Memory]], supervised: list[Memory]) -> list[str]:
    """Open the page; return whatever it asked for beyond itself, and whatever it said."""
    path = folder / "comparison.html"
    path.write_text(render_comparison(HOSTILE[0], models, supervised), encoding="utf-8")
    noticed: list[str] = []
    page.on("dialog", lambda dialog: (noticed.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: noticed.append(message.text))
    page.on("request", lambda request: noticed.append(request.url))
    page.goto(path.as_uri())
    return [entry for entry in noticed if entry != path.as_uri()]


@pytest.fixture
def page() -> object:
    sync_api = pytest.importorskip("playwright.sync_api")
    if chromium_path() is None:
        pytest.skip(NO_CHROMIUM)
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser.new_page(viewport={"width": 390, "height": 844})
        browser.close()


def test_hostile_texts_do_not_run(page: Page, tmp_path: Path) -> None:
    memories = [talk(text, text, user=text) for text in HOSTILE]
    assert shown(page, tmp_path, {"base": memories, "sft": memories}, memories) == []
    for text in HOSTILE:
        assert page.get_by_text(text, exact=True).count() >= 6


def test_a_phone_shows_the_columns_below_each_other(page: Page, tmp_path: Path) -> None:
    long_word = talk("s" * 200, "x" * 2000)
    models = {"base": [long_word], "sft": [long_word], "dpo": [long_word]}
    shown(page, tmp_path, models, [talk("s" * 200, "other")])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    lefts = page.eval_on_selector_all(".models > div", "cells => cells.map(cell => cell.getBoundingClientRect().left)")
    assert len(lefts) == 4
    assert len(set(lefts)) == 1


def test_agreeing_conversations_hide_without_a_script(page: Page, tmp_path: Path) -> None:
    supervised = [talk("same", "a"), talk("other", "a")]
    shown(page, tmp_path, {"sft": [talk("same", "a"), talk("other", "b")]}, supervised)
    assert page.locator("section:visible").count() == 2
    page.check("#only")
    assert page.locator("section:visible").count() == 1
