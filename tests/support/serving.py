"""An ASGI application on a free loopback port, for the length of a `with`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

__all__ = ["served"]


@contextmanager
def served(app: ASGIApp, *, path: str = "/mcp") -> Iterator[str]:
    """The address of the application, served from a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://localhost:{listening.getsockname()[1]}{path}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
