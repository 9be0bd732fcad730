"""A hostile grant, as a process of its own: python -m tests.soak.hostile URL TOKEN FOLDER

It asks what does not end, leaves and comes back, asks without a pause, opens sessions, guesses tokens, holds connections half
open, and writes files into its folder that no reader expects.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

_CLIENTS = 40
_HALF_OPEN = 200
_HALF_OPEN_SECONDS = 5.0
_GUESSES = 20
_SELF_JOINED = "(SELECT value FROM points LIMIT 150)"
_ENDLESS = f"SELECT COUNT(*) AS n FROM {', '.join(f'{_SELF_JOINED} t{i}' for i in range(4))} WHERE SIN(t0.value + t3.value) > {{}}"
_ODD: Sequence[tuple[str, bytes]] = (
    ("config.yaml", b"amp: !!bool maybe\n"),
    ("config.json", json.dumps({"data": "/caf\udce9", "\x00": {"is": "x"}}).encode()),
    ("metrics.jsonl", b'{"step": 1, "l\\udce9": 1}\n{"step": \x00\n' * 50),
    ("results.csv", b"step,loss\n1,2\n=1+1,\xff\xfe\n"),
    ("events.out.tfevents.1.x", os.urandom(4096)),
)


_Call = tuple[str, dict[str, object], float]
"""A tool, its arguments, and the seconds after which the client leaves."""


def _calls(number: int) -> Sequence[_Call]:
    """What the hostile grant asks: queries without end, short calls without a pause, and long calls left in the middle."""
    endless: dict[str, object] = {"query": _ENDLESS.format(number)}
    short: _Call = ("list_runs", {"where": f"n_points > {number}"}, 60)
    left: _Call = ("diagnose_runs", {"where": f"n_points > {-number}"}, 0.3)
    return (
        [("query_sql", endless, 3)],
        [("query_sql", endless, 0.3)],
        [short] * 20,
        [left] * 5,
    )[number % 4]


@asynccontextmanager
async def bearing(url: str, token: str, era: str) -> AsyncGenerator[Client]:
    """A client with a token."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http), mode=era) as client,
    ):
        yield client


async def _greedy(url: str, token: str, index: int) -> None:
    turn = 0
    while True:
        turn += 1
        era = "auto" if (index + turn // 4) % 2 else "legacy"
        with contextlib.suppress(Exception):  # whatever a hostile client makes of being refused
            async with bearing(url, token, era) as client:
                for tool, arguments, seconds in _calls(index + turn):
                    with anyio.move_on_after(seconds):
                        await client.call_tool(tool, arguments)
        with contextlib.suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient() as http:
                for guess in range(_GUESSES):
                    wrong = {"Authorization": f"bEaReR wrong-{index}-{turn}-{guess}"}
                    await http.post(url, json={}, headers=wrong)
        await anyio.sleep(0.1)


async def _write_odd_files(root: Path) -> None:
    turn = 0
    while True:
        folder = root / f"odd{turn % 5}\u200b"
        folder.mkdir(parents=True, exist_ok=True)
        name, content = _ODD[turn % len(_ODD)]
        (folder / name).write_bytes(content)
        turn += 1
        await anyio.sleep(0.3)


async def _hold_half_open(url: str) -> None:
    place = urlsplit(url)
    while True:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(_HALF_OPEN):
                with contextlib.suppress(OSError):
                    stream = await held.enter_async_context(
                        await anyio.connect_tcp(str(place.hostname), place.port or 80)
                    )
                    await stream.send(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            await anyio.sleep(_HALF_OPEN_SECONDS)


async def _all(url: str, token: str, folder: Path) -> None:
    async with anyio.create_task_group() as group:
        for index in range(_CLIENTS):
            group.start_soon(_greedy, url, token, index)
        group.start_soon(_write_odd_files, folder)
        group.start_soon(_hold_half_open, url)


if __name__ == "__main__":
    anyio.run(_all, sys.argv[1], sys.argv[2], Path(sys.argv[3]))
