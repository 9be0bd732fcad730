"""Clients without manners: slow, half-closed, too large, never coming back. The others must not feel them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import anyio
import httpx2
from mcp import Client
from tests.soak.support import Finding, Server, run_name, serving
from tests.support import processes

_SESSIONS = 10_000
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}},
}
_UNBOUNDED = {"ANALYSIS_QUERY_SECONDS": "600", "ANALYSIS_CACHE": "memory"}
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
    """Slow clients, half-closed sockets, bodies over the limit, a million-character argument: others at most 5 times slower."""
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
    """10,000 sessions opened and abandoned: less than 100 kB each, a new client is served."""
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


def servers_end_when_told(root: Path, share: float) -> Generator[Finding]:
    """In the middle of a call that does not end: end of stdin ends the process within a second, SIGTERM within ten."""
    del share
    times = sorted(_after_end_of_input(root) for _ in range(5))
    yield Finding(times[-1] <= 1, f"end of stdin: {times[2]:.2f} s, at most {times[-1]:.2f} s in five tries")
    seconds = _after_sigterm(root)
    yield Finding(seconds <= 10, f"SIGTERM: {seconds:.1f} s")


def _after_end_of_input(root: Path) -> float:
    call = {"id": 2, "method": "tools/call", "params": {"name": "query_sql", "arguments": processes.ENDLESS}}
    with processes.pipe(root, more=_UNBOUNDED) as server:
        processes.send(server, *processes.HELLO, call)
        processes.until(lambda: _queries(server.pid))
        assert server.stdin
        began = time.perf_counter()
        server.stdin.close()
        server.wait(60)
        return time.perf_counter() - began


def _after_sigterm(root: Path) -> float:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "soak", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    call = {"name": "query_sql", "arguments": processes.ENDLESS, "_meta": meta}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "query_sql", **_ACCEPT}
    with processes.serving(root, root.parent / "log", more=_UNBOUNDED) as server:

        def ask() -> None:
            with suppress(httpx2.HTTPError):  # it is cut off
                httpx2.post(server.url, json=asked, headers=headers, timeout=60)

        threading.Thread(target=ask, daemon=True).start()
        processes.until(lambda: _queries(server.process.pid))
        began = time.perf_counter()
        server.process.terminate()
        server.process.wait(60)
        return time.perf_counter() - began


def _queries(pid: int) -> bool:
    """Whether a query is at work."""
    return bool(processes.at_a_query(pid))
