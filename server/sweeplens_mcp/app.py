"""Factories: everything that serves is made here, and tests serve the very same.

build_server(source)    the MCP server over settings or an open database; no transport, no folder touched yet
build_app(server)       the same server as an ASGI application (streamable HTTP)
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mcp.server import CacheHint, MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext

from sweeplens_mcp.completions import add_completions
from sweeplens_mcp.prompts import PROMPTS, prompt_of
from sweeplens_mcp.registration import register
from sweeplens_mcp.resources import add_resources
from sweeplens_mcp.settings import DEFAULT_HOST, HTTP_PATH, Settings
from sweeplens_mcp.state import State
from sweeplens_mcp.tools import TOOLS

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["INSTRUCTIONS", "build_app", "build_server"]

INSTRUCTIONS = (
    "Answers questions about folders of deep-learning experiments. Call overview first. Every answer says what it rests "
    "on (basis): runs used, runs left out and why. Aggregates use all points; query_metrics samples for display."
)
_STATIC = CacheHint(ttl_ms=3_600_000, scope="public")


def build_server(source: Settings | ExperimentDB | None = None) -> MCPServer[State]:
    """The server over a database, or over what settings name (by default what the environment configures)."""
    _log_to_stderr()
    state = State.of(source or Settings())

    @asynccontextmanager
    async def lifespan(_: MCPServer[State]) -> AsyncGenerator[State]:
        try:
            yield state
        finally:
            state.close()

    server = MCPServer[State](
        name="sweeplens",
        title="Sweeplens",
        instructions=INSTRUCTIONS,
        version=version("sweeplens"),
        tools=[register(spec, state) for spec in TOOLS],
        lifespan=lifespan,
        log_level="WARNING",
        cache_hints={"tools/list": _STATIC, "prompts/list": _STATIC, "resources/templates/list": _STATIC},
        middleware=[_warming(state)],
    )
    add_resources(server, state)
    add_completions(server, state)
    for spec in PROMPTS:
        server.add_prompt(prompt_of(spec))
    return server


def build_app(server: MCPServer[State], *, host: str = DEFAULT_HOST) -> Starlette:
    """The server as an ASGI application; its lifespan must run. A local ``host`` arms the check of Host and Origin."""
    return server.streamable_http_app(streamable_http_path=HTTP_PATH, host=host)


def _warming(state: State) -> ServerMiddleware[State]:
    """Import the library once the tools have been listed: the next message is likely to need it."""

    async def warming(ctx: ServerRequestContext[State, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "tools/list":
            state.warm()
        return result

    return warming


def _log_to_stderr() -> None:
    """Before the SDK would: plain lines, warnings and worse, never on stdout."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
