"""What a load balancer may ask without a token: whether the process lives, and whether it could answer. No names, no paths."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from sweeplens_mcp.execution.state import ServerState

__all__ = ["add_health"]


def add_health(server: MCPServer[ServerState], roots: Sequence[str], state: ServerState) -> None:
    """Register ``/healthz`` and ``/readyz``."""
    server.custom_route("/healthz", methods=["GET"])(_alive)
    server.custom_route("/readyz", methods=["GET"])(_ready(tuple(roots), state))


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _ready(roots: tuple[str, ...], state: ServerState) -> Callable[[Request], Awaitable[Response]]:
    async def ready(_: Request) -> Response:
        """Whether every folder that is served can be read now, and the last reading of them did not fail.

        After a failure each question has them read again, as a server that is not ready may be asked nothing else.
        """
        if state.failure:
            state.try_again()
            return JSONResponse({"status": "the experiments could not be read"}, 503)
        readable = await anyio.to_thread.run_sync(lambda: all(os.access(r, os.R_OK | os.X_OK) for r in roots))
        return JSONResponse({"status": "ok" if readable else "a folder cannot be read"}, 200 if readable else 503)

    return ready
