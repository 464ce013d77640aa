"""Chromium as the tests and ``docs/make_images.py`` start it: held to this machine.

What does not belong here: Dagster.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

__all__ = ["NO_CHROMIUM", "chromium_path", "launch"]

NO_CHROMIUM = "no Chromium was found; install Debian's package chromium, or set CHROMIUM to a browser's path"

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",  # root, as in a container, may not have one; only pages of this machine are opened
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def chromium_path() -> str | None:
    """Return the browser that ``CHROMIUM`` names, or the first one that is installed."""
    given = os.environ.get("CHROMIUM")
    return given or next((path for name in _NAMES if (path := shutil.which(name))), None)


def launch(playwright: Playwright) -> Browser:
    """Start the browser without a window.

    Raises:
        FileNotFoundError: Where there is none.
    """
    path = chromium_path()
    if path is None:
        raise FileNotFoundError(NO_CHROMIUM)
    return playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
