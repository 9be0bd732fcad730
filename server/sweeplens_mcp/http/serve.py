"""Runs the application in uvicorn, with TLS, proxies, limits, and a shutdown that lets calls in flight finish."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.middleware import Middleware

from sweeplens_mcp.execution.processes.pool import ProcessPool
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.execution.worker_pool import WorkerPool, processors
from sweeplens_mcp.http.authentication import any_host, hosts_of, http_access, origins_of
from sweeplens_mcp.http.connections import Connections, Limits, bounded_protocol, listening
from sweeplens_mcp.http.front_page import add_front_page
from sweeplens_mcp.http.health import add_health
from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.origins import Origins
from sweeplens_mcp.http.rate_limit import RateLimit
from sweeplens_mcp.http.sessions import Sessions
from sweeplens_mcp.http.ui.browser_checks import BrowserChecks
from sweeplens_mcp.http.ui.routes import add_ui
from sweeplens_mcp.protocol.app import IDLE_SECONDS, build_app, build_server
from sweeplens_mcp.protocol.subscriptions import ChangeFeed
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import PAGE_TOOLS, TOOLS

if TYPE_CHECKING:
    from mcp.server.context import ServerMiddleware
    from starlette.applications import Starlette

__all__ = ["bounded_server", "protected_app", "serve_http"]

_GRACE_SECONDS = 8
_MOST_WORKERS = 4  # each holds the tables of runs and series


def protected_app(settings: Settings, options: HttpOptions) -> Starlette:
    """Builds the application that `serve_http` serves. Raises ConfigError."""
    workers = ProcessPool() if ProcessPool.possible() else None
    heavy = _heavy_workers(options) if workers else 0
    worker_pool = WorkerPool(heavy_workers=heavy, tidy=partial(_replace_ended, workers))
    state = ServerState.of(settings, worker_pool, workers)
    feed, access = ChangeFeed(state), http_access(options)
    server = build_server(state, access=access, middleware=_meters(options), feed=feed)
    add_health(server, settings.roots, state)
    add_front_page(server, options.url, has_tokens=options.authenticated)
    add_ui(server, state, feed, access)
    app = build_app(server, security=hosts_of(options), stateless=options.stateless)
    if any_host(options):
        app.add_middleware(Origins, allowed=origins_of(options))
    app.add_middleware(BrowserChecks, security=hosts_of(options))
    app.user_middleware += [  # innermost, after authentication, so that both know the caller
        Middleware(RateLimit, per_minute=options.calls_per_minute),
        Middleware(Sessions, idle_seconds=IDLE_SECONDS, most=options.sessions_per_grant),
    ]
    return app


def serve_http(settings: Settings, options: HttpOptions, opened: Callable[[], None] = lambda: None) -> int:
    """Serves until a signal. Calls in flight then have eight seconds to finish; after that streams are closed.

    ``opened`` is called when the port is open. Raises ConfigError where it cannot be opened.
    """
    connections = Connections(Limits.of_system(options.trusted_proxies))
    app = protected_app(settings, options)
    sockets = listening(options.host, options.port, connections)
    opened()
    bounded_server(app, options, connections).run(sockets)
    return 0


def bounded_server(app: Starlette, options: HttpOptions, connections: Connections) -> uvicorn.Server:
    """Makes the uvicorn server that accepts a limited number of connections from the sockets of `listening`."""
    AppStatus.disable_automatic_graceful_drain()  # it would abort calls in flight of the older protocol after a second
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        loop="asyncio",  # another loop would bypass our sockets
        http=bounded_protocol(connections),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_certfile=options.tls_cert or None,
        ssl_keyfile=options.tls_key or None,
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        h11_max_incomplete_event_size=64 * 1024,
        timeout_keep_alive=30,
    )
    return uvicorn.Server(config)


def _heavy_workers(options: HttpOptions) -> int:
    """One fewer than the processors; with authentication at least three, so that a grant leaves two to the others."""
    return max(3 if options.authenticated else 1, min(_MOST_WORKERS, processors() - 1))


def _replace_ended(workers: ProcessPool | None) -> None:
    """Replaces the processes that ended after a call of this context."""
    if workers:
        workers.replace_ended()
    sql = sys.modules.get("sweeplens.sql.pool")  # not imported yet: no query has run
    if sql is not None:
        sql.replace_ended()


def _meters(options: HttpOptions) -> Sequence[ServerMiddleware[Any]]:
    if not options.metrics_port:
        return ()
    from prometheus_client import CollectorRegistry

    from sweeplens_mcp.http.prometheus import metered, show

    registry = CollectorRegistry()
    show(options.metrics_port, registry)
    return (metered([spec.name for spec in (*TOOLS, *PAGE_TOOLS)], registry),)
