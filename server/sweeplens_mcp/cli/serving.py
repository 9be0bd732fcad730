"""`sweeplens serve`: over stdio until the client closes its end, or over HTTP until a signal."""

from __future__ import annotations

import argparse
import gc
import os
import sys

from sweeplens_mcp.cli.streams import divert_stdout, restore_stdout
from sweeplens_mcp.settings import HTTP_PATH, Settings

__all__ = ["serve_at_http", "serve_at_stdio"]


def serve_at_stdio(settings: Settings) -> int:
    """Serves until the client closes its end, and then exits at once."""
    gc.disable()  # imports make hundreds of thousands of objects and no garbage
    from sweeplens_mcp.cli.greeting import greet_at_stdio
    from sweeplens_mcp.cli.stdin import own_stdin

    greet_at_stdio(settings.roots)
    refused = own_stdin()
    wire = divert_stdout()  # a library may print while it is imported; later the SDK handles that
    import anyio

    from sweeplens_mcp.cli.refused_lines import serve_with_refusals
    from sweeplens_mcp.protocol.app import build_server

    server = build_server(settings)
    gc.enable()
    gc.freeze()
    restore_stdout(wire)
    try:
        anyio.run(serve_with_refusals, server, refused)
    except* BrokenPipeError:
        pass  # the client no longer reads
    divert_stdout()  # for output of libraries that is not flushed yet
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a worker thread would block the exit until its next checkpoint


def serve_at_http(given: argparse.Namespace, settings: Settings) -> int:
    """Serves until a signal ends it. ``given``: the options that were typed."""
    from sweeplens_mcp.http.options import HttpOptions

    options = HttpOptions.typed(vars(given))
    from sweeplens_mcp.cli.greeting import greet_at_http
    from sweeplens_mcp.http.front_page import connecting
    from sweeplens_mcp.http.serve import serve_http
    from sweeplens_mcp.logs import announce

    def greet() -> None:
        lines = f"{connecting(options.url, has_tokens=options.authenticated)}\nin a browser: {options.url}/ui"
        if not greet_at_http(f"{options.url}{HTTP_PATH}", settings.roots, lines):
            announce(f"serving on {options.url}{HTTP_PATH} (in a browser: {options.url}/ui)")

    return serve_http(settings, options, greet)
