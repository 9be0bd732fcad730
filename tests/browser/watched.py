"""A browser page that is watched: errors in its console, requests to other machines, and what axe finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from support.npm import installed

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

__all__ = ["PACKAGES", "WatchedPage", "watched_page"]

PACKAGES = (
    "@modelcontextprotocol/ext-apps@2.0.4",
    "@modelcontextprotocol/client@2",
    "@modelcontextprotocol/core@2",
    "@modelcontextprotocol/server@2",
    "axe-core@4.14.1",
    "esbuild@0.25",
    "zod@4",
)
_HERE = ("127.0.0.1", "localhost")


@dataclass
class WatchedPage:
    """``errors``: what the console said; ``outside``: addresses on other machines that were asked for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing went wrong so far."""
        assert self.errors == []
        assert self.outside == []

    def axe(self) -> list[str]:
        """What axe finds, in all frames that it can reach."""
        self.page.evaluate(_axe())
        found: Sequence[Any] = self.page.evaluate("async () => (await axe.run()).violations")
        return [f"{v['id']}: {v['nodes'][0]['html'][:200]} ({len(v['nodes'])})" for v in found]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        place = urlsplit(request.url)
        if place.scheme in ("http", "https", "ws", "wss") and place.hostname not in _HERE:
            self.outside.append(request.url)


def watched_page(context: BrowserContext) -> WatchedPage:
    """A fresh page of a browser."""
    watched = WatchedPage(context.new_page())
    watched.page.on("console", watched._said)
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    watched.page.on("request", watched._asked)
    return watched


@cache
def _axe() -> str:
    return (installed("browser", PACKAGES) / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
