"""`Settings`: the arguments of a server's start. Everything else is configured in `sweeplens.AnalysisConfig`.

Nothing is checked here. If a root does not exist, each call returns that error, so the client shows the reason; a server that
does not start would hide it.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "HTTP_PATH", "Settings"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8917
HTTP_PATH = "/mcp"


class Settings(Struct, frozen=True):
    """``roots``: the folders of experiments; empty: those of the configuration."""

    roots: tuple[str, ...] = ()
