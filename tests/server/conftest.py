"""The server through every door: in memory, over stdio and over HTTP, in both eras of the protocol."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from mcp import Client
from support.doors import ERAS

from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def client(sweep: Path, era: str) -> AsyncIterator[Client]:
    """A client of the sweep, in memory, in each era."""
    async with Client(build_server(Settings((str(sweep),))), mode=era) as connected:
        yield connected


@pytest.fixture(scope="session")
def http_url(sweep: Path) -> Iterator[str]:
    """The address of a server process over HTTP."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sweeplens_mcp", "serve", "--http", "--port", str(port), "--root", str(sweep)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not begin to listen")
