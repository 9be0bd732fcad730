"""Health checks for load balancers, without a token: is the process alive, is it ready. The answers hold no names or paths."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from sweeplens.sources.given_roots import is_address
from sweeplens_mcp.execution.state import ServerState

__all__ = ["add_health"]


def add_health(server: MCPServer[ServerState], roots: Sequence[str], state: ServerState) -> None:
    """Registers ``/healthz`` and ``/readyz``."""
    server.custom_route("/healthz", methods=["GET"])(_alive)
    server.custom_route("/readyz", methods=["GET"])(_ready(tuple(roots), state))


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _can_be_read(root: str) -> bool:
    """Whether a folder or an archive can be read; of another place the last load tells."""
    return is_address(root) or os.access(root, os.R_OK | (os.X_OK if os.path.isdir(root) else 0))  # noqa: PTH112


def _ready(roots: tuple[str, ...], state: ServerState) -> Callable[[Request], Awaitable[Response]]:
    async def ready(_: Request) -> Response:
        """Ready if every served folder can be read and the last load did not fail.

        After a failed load, each check starts a new one, because a server that is not ready may get no other request.
        """
        if state.failure:
            state.try_again()
            return JSONResponse({"status": "the experiments could not be read"}, 503)
        readable = await anyio.to_thread.run_sync(lambda: all(map(_can_be_read, roots)))
        return JSONResponse({"status": "ok" if readable else "a folder cannot be read"}, 200 if readable else 503)

    return ready
