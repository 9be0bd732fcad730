"""A hostile tenant, hostile connections and odd files beside fifty polite clients, who must not feel them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.soak.support import Finding, Server, run_name, serving

_POLITE = 50
_ROUNDS = 10
_TIMES = 5  # how many times its own time a polite client may wait
_LEAST_SECONDS = 1.0  # what a busy machine adds to any call
_POLITE_TOKEN, _HOSTILE_TOKEN = "token-of-polite-client-{:02}", "token-of-a-hostile-tenant"
_SELF_JOINED = "(SELECT value FROM points LIMIT 150)"
_ENDLESS = f"SELECT COUNT(*) AS n FROM {', '.join(f'{_SELF_JOINED} t{i}' for i in range(4))} WHERE SIN(t0.value + t3.value) > {{}}"


@asynccontextmanager
async def _bearing(server: Server, token: str, era: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=120) as http,
        Client(streamable_http_client(server.url, http_client=http), mode=era) as client,
    ):
        yield client


async def _polite(server: Server, index: int, rounds: int, waits: list[float]) -> None:
    """Ask now and then, as somebody does who reads the answers."""
    era = "auto" if index % 2 else "legacy"
    async with _bearing(server, _POLITE_TOKEN.format(index), era) as client:
        for turn in range(rounds):
            run = run_name((index * 7 + turn) % 200)
            began = time.perf_counter()
            if turn == rounds - 1:
                result = await client.call_tool(
                    "query_sql", {"query": f"SELECT COUNT(*) FROM points WHERE run_id = '{run}'"}
                )
            else:
                result = await client.call_tool("get_run", {"run_id": run})
            waits.append(time.perf_counter() - began)
            if result.is_error:
                raise AssertionError(f"a polite client was refused: {result.content}")
            await anyio.sleep(0.5)


async def _all_polite(server: Server, rounds: int) -> list[float]:
    waits: list[float] = []
    async with anyio.create_task_group() as group:
        for index in range(_POLITE):
            group.start_soon(_polite, server, index, rounds, waits)
    return waits


async def _greedy(server: Server, index: int) -> None:
    """Ask without end what does not end; leave, come back, open sessions, guess tokens."""
    era = "auto" if index % 2 else "legacy"
    turn = 0
    while True:
        turn += 1
        with contextlib.suppress(Exception):  # whatever a hostile client makes of being refused
            async with _bearing(server, _HOSTILE_TOKEN, era) as client:
                with anyio.move_on_after(3):
                    await client.call_tool("query_sql", {"query": _ENDLESS.format(index + turn)})
        with contextlib.suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient() as http:
                for guess in range(20):
                    wrong = {"Authorization": f"bEaReR wrong-{index}-{turn}-{guess}"}
                    await http.post(server.url, json={}, headers=wrong)
        await anyio.sleep(0.1)


async def _odd_files(root: Path) -> None:
    """Write what no reader expects, and take it away again."""
    odd: Sequence[tuple[str, bytes]] = (
        ("config.yaml", b"amp: !!bool maybe\n"),
        ("config.json", json.dumps({"data": "/caf\udce9", "\x00": {"is": "x"}}).encode()),
        ("metrics.jsonl", b'{"step": 1, "l\\udce9": 1}\n{"step": \x00\n' * 50),
        ("results.csv", b"step,loss\n1,2\n=1+1,\xff\xfe\n"),
        ("events.out.tfevents.1.x", os.urandom(4096)),
    )
    turn = 0
    while True:
        folder = root / f"odd{turn % 5}\u200b"
        folder.mkdir(parents=True, exist_ok=True)
        name, content = odd[turn % len(odd)]
        (folder / name).write_bytes(content)
        turn += 1
        await anyio.sleep(0.3)


def _half_open(server: Server) -> list[socket.socket]:
    found: list[socket.socket] = []
    for _ in range(200):
        with contextlib.suppress(OSError):
            found.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            found[-1].send(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    return found


async def _beside(server: Server, hostile: Path, rounds: int) -> list[float]:
    """How long the polite ones wait while the others do what they can."""
    async with anyio.create_task_group() as group:
        for index in range(40):
            group.start_soon(_greedy, server, index)
        group.start_soon(_odd_files, hostile)
        await anyio.sleep(3)
        held = await anyio.to_thread.run_sync(_half_open, server)
        waits = await _all_polite(server, rounds)
        for connection in held:
            connection.close()
        group.cancel_scope.cancel()
    return waits


def hostile_neighbours_harm_nobody(root: Path, share: float) -> Generator[Finding]:
    """A hostile tenant and odd files beside 50 polite clients: none gets an error or waits more than 5 times its own time."""
    hostile = root.parent / "hostile"
    (hostile / "run").mkdir(parents=True)
    rows = [json.dumps({"step": step, "loss": 1 / (step + 1)}) for step in range(200)]
    (hostile / "run" / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    tokens = [f"polite{i} {_POLITE_TOKEN.format(i)} '{root}'" for i in range(_POLITE)]
    tokens.append(f"hostile {_HOSTILE_TOKEN} '{hostile}'")
    file = root.parent / "tokens"
    file.write_text("\n".join(tokens) + "\n")
    rounds = max(3, int(_ROUNDS * share))
    with serving(root, "--root", str(hostile), "--token-file", str(file)) as server:
        anyio.run(_all_polite, server, 2)
        alone = anyio.run(_all_polite, server, rounds)
        beside = anyio.run(_beside, server, hostile, rounds)
    worst, own = max(beside), max(alone)
    yield Finding(
        worst <= _TIMES * max(own, _LEAST_SECONDS),
        f"{len(beside)} polite calls without an error; alone {median(alone):.2f} s, at most {own:.2f} s; "
        f"beside {median(beside):.2f} s, at most {worst:.2f} s",
    )
