"""Clients without manners: slow, half-closed, too large, never coming back. The others must not feel them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path

import anyio
import httpx2
from mcp import Client
from tests.soak.support import Finding, Server, run_name, serving

_SESSIONS = 10_000
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}},
}
_ACCEPT = {"Accept": "application/json, text/event-stream"}


def _connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def _slow(server: Server) -> list[socket.socket]:
    """Fifty connections that send one byte and wait."""
    found = [_connected(server) for _ in range(50)]
    for connection in found:
        connection.send(b"P")
    return found


def _half_closed(server: Server) -> list[socket.socket]:
    """Fifty connections that promise a body and close their side in its middle."""
    found = [_connected(server) for _ in range(50)]
    for connection in found:
        connection.send(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
    return found


def _too_large(server: Server) -> list[socket.socket]:
    """A body over the limit is refused."""
    answer = httpx2.post(server.url, content=b"x" * (5 << 20), headers={**_ACCEPT, "Content-Type": "application/json"})
    if answer.status_code != 413:
        raise AssertionError(f"a body of 5 MB was answered {answer.status_code}")
    return []


_RUDE: tuple[Callable[[Server], list[socket.socket]], ...] = (_slow, _half_closed, _too_large)


async def _polite(server: Server) -> float:
    """Seconds that a polite client needs for ten calls, among them one with an argument of a million characters."""
    began = time.perf_counter()
    async with Client(server.url) as client:
        for index in range(9):
            result = await client.call_tool("list_runs", {"runs": [run_name(index)]})
            if result.is_error:
                raise AssertionError("a polite client was refused")
        long = await client.call_tool("list_runs", {"where": "x" * 1_000_000})
        if not long.is_error or len(json.dumps(long.model_dump(mode="json"))) > 10_000:
            raise AssertionError("an argument of a million characters was not refused in a few words")
    return time.perf_counter() - began


def rude_clients_harm_nobody(root: Path, share: float) -> Generator[Finding]:
    """Slow clients, half-closed sockets, bodies over the limit, a million-character argument."""
    del share
    with serving(root) as server:
        anyio.run(_polite, server)
        alone = anyio.run(_polite, server)
        held: list[socket.socket] = []
        for rude in _RUDE:
            held += rude(server)
        beside = anyio.run(_polite, server)
        for connection in held:
            connection.close()
    yield Finding(beside < 5 * alone + 1, f"a polite client takes {alone:.2f} s alone, {beside:.2f} s beside rude ones")


def abandoned_sessions_cost_nothing(root: Path, share: float) -> Generator[Finding]:
    """Sessions opened and never used again: bounded memory, and a new client is still served."""
    sessions = int(_SESSIONS * share)
    with serving(root) as server:
        anyio.run(_polite, server)
        memory = server.megabytes()
        with httpx2.Client(headers=_ACCEPT) as client:
            for _ in range(sessions):
                client.post(server.url, json=_INITIALIZE)
        after = server.megabytes()
        anyio.run(_polite, server)
    each = (after - memory) * 1024 / max(sessions, 1)
    yield Finding(
        each < 100, f"{sessions} sessions opened and abandoned: {memory:.0f} -> {after:.0f} MB, {each:.0f} kB each"
    )
