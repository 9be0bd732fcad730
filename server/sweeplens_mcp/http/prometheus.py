"""Prometheus metrics: a middleware that counts and times calls, and a loopback port that serves the metrics.

Labels are known tools and methods only, so that no client can add label values.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.types import CallToolResult
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

__all__ = ["metered", "show"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def metered(tools: Iterable[str], registry: CollectorRegistry) -> ServerMiddleware[Any]:
    """Makes a middleware that counts and times messages by method and tool."""
    known = frozenset(tools)
    calls = Counter("sweeplens_messages", "Messages answered", ["method", "tool", "outcome"], registry=registry)
    seconds = Histogram("sweeplens_seconds", "Time to answer", ["method", "tool"], buckets=_SECONDS, registry=registry)

    async def measure(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        name = ctx.params.get("name") if ctx.params and ctx.method == "tools/call" else None
        tool = name if isinstance(name, str) and name in known else ""
        method = ctx.method if ctx.method in _METHODS else "other"
        began, outcome = time.perf_counter(), "error"
        try:
            result = await call_next(ctx)
            outcome = "error" if isinstance(result, CallToolResult) and result.is_error else "ok"
        finally:
            seconds.labels(method, tool).observe(time.perf_counter() - began)
            calls.labels(method, tool, outcome).inc()
        return result

    return measure


def show(port: int, registry: CollectorRegistry) -> None:
    """Serves the metrics on a loopback port, in its own thread."""
    start_http_server(port, addr="127.0.0.1", registry=registry)


_METHODS = frozenset(
    (
        "initialize", "ping", "server/discover", "tools/list", "tools/call", "resources/list", "resources/read",
        "resources/templates/list", "resources/subscribe", "resources/unsubscribe", "subscriptions/listen",
        "prompts/list", "prompts/get", "completion/complete",
    )
)  # fmt: skip
