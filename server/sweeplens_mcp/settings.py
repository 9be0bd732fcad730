"""What a server is told when it starts. Everything else is configured in `sweeplens.AnalysisConfig`.

Nothing is looked up here: a root that does not exist is answered call by call, so that a client shows the reason
instead of a server that would not start.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "HTTP_PATH", "Settings"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8917
HTTP_PATH = "/mcp"


class Settings(Struct, frozen=True):
    """``roots``: the folders of experiments; empty: what the configuration says."""

    roots: tuple[str, ...] = ()
