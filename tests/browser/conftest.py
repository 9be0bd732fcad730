"""One browser for all checks; a fresh profile for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.npm import NotInstalledError, installed

from browser.chromium import chromium_path
from browser.watched import PACKAGES, WatchedPage, watched_page
from sweeplens.demo_data import write_sweep

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_PATIENCE = 120_000  # milliseconds: a page may wait for long calls on a busy machine
OpenPage = Callable[..., WatchedPage]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        started = running.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session", autouse=True)
def packages() -> Path:
    """axe and the test host, from npm."""
    try:
        return installed("browser", PACKAGES)
    except NotInstalledError as error:
        pytest.skip(f"axe and ext-apps cannot be had: {error}")


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages; each has a profile of its own and is closed afterwards."""
    contexts: list[Any] = []

    def opened(scheme: str = "light", **options: Any) -> WatchedPage:
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1000, "height": 900}, **options)
        context.set_default_timeout(_PATIENCE)
        contexts.append(context)
        return watched_page(context)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's sweep, which no check changes."""
    folder = tmp_path_factory.mktemp("browser") / "sweep"
    write_sweep(folder, now=datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    return folder
