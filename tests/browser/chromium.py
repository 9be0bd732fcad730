"""A Chromium to test with: that of the system, or the one that Playwright installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

__all__ = ["NoBrowserError", "chromium_path"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoBrowserError(Exception):
    """There is no browser here; the text says what to install."""


def chromium_path() -> str:
    """The program to start. Raises NoBrowserError."""
    if importlib.util.find_spec("playwright") is None:
        raise NoBrowserError("the package playwright is not installed: pip install -r requirements/browser.txt")
    named = os.environ.get("SWEEPLENS_CHROMIUM", "")
    found = named or next(filter(None, map(shutil.which, _NAMES)), "") or _of_playwright()
    if not found:
        raise NoBrowserError("there is no Chromium: apt-get install chromium, or playwright install chromium")
    return found


def _of_playwright() -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        path = running.chromium.executable_path
    return path if Path(path).exists() else ""
