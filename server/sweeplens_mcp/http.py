"""Serving over HTTP: uvicorn around the application of `app.build_app`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from sweeplens_mcp.app import build_app

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from sweeplens_mcp.state import State

__all__ = ["serve_http"]

_GRACE_SECONDS = 5


def serve_http(server: MCPServer[State], host: str, port: int) -> int:
    """Serve until a signal ends it; calls in flight have some seconds to finish."""
    app = build_app(server, host=host)
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=_GRACE_SECONDS)
    return 0
