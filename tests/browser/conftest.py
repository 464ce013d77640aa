"""A served project, once for all tests; a browser for each, whose picture is kept where the test fails."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import dagster as dg
import pytest

from tests.autograms_assets.chains import Chain
from tests.autograms_assets.projects import make_project
from tests.browser.chromium import NO_CHROMIUM, chromium_path, launch
from tests.browser.served import make_home, serve

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PICTURES = Path(__file__).parents[2] / "build" / "browser"
_PATIENCE = 60_000
"""Milliseconds that a page, a launched run's process included, may take on a busy machine."""
_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def with_chromium() -> None:
    if chromium_path() is None:
        if os.environ.get("BROWSER_TESTS") == "required":
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)


@pytest.fixture(scope="module")
def ui(with_chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The UI's address. Of the project's two autograms, ``desk`` was not simulated yet, and ``kiosk`` was."""
    root = tmp_path_factory.mktemp("ui")
    home = make_home(root / "home")
    project = make_project(root / "project", "desk", "kiosk")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        chain = Chain(project, instance)
        assert chain.run("autogram", "scenarios", name="desk").success
        assert chain.run("autogram", "scenarios", "conversation_memories", name="kiosk").success
    with serve(home=home, project=project.root, storage=chain.storage) as url:
        yield url


@pytest.fixture
def page(with_chromium: None, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a newcomer's browser: nothing remembered from another test, and nothing asked of another machine.

    Each test has a browser of its own, because Playwright keeps an event loop running in this thread until it stops.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE)
    outside: list[str] = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 2600, "height": 1300})
        page.set_default_timeout(_PATIENCE)
        page.on("request", lambda sent: None if _stays_here(sent.url) else outside.append(sent.url))
        yield page
        if request.node.stash.get(_FAILED, False):
            _PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=_PICTURES / f"{request.node.name}.png")
        browser.close()
    assert not outside, f"the page asked for {outside}"


def _stays_here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob") or parts.hostname == "127.0.0.1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        item.stash[_FAILED] = True
        report.sections.append(("picture of the page", f"{_PICTURES / item.name}.png"))
    return report
