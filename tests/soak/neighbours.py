"""A hostile grant, hostile connections and odd files beside fifty polite clients, who must not feel them.

The same clients ask alone and beside the hostile process, three times in turn, of a server with its usual limits. What a client
waits alone is its own time. Three bounds hold: each client waits in all at most five times its own time; for each tool, at most
five times as long as all clients do alone on average (where less than a twentieth of a second counts as that); and the longest
wait of all is at most five times the longest alone. What a single client waits alone for a tool is no measure: of six calls on a
busy machine it is a matter of luck.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import mean, median

import anyio
from mcp import Client
from tests.soak.hostile import bearing
from tests.soak.support import Finding, Server, run_name, serving

_POLITE = 50
_ROUNDS, _REPETITIONS = 6, 3
_TIMES = 5  # how many times its own time a polite client may wait
_LEAST_SECONDS = 0.05  # of a call: shorter waits are not felt
_PAUSE_SECONDS = 2.0
_BEGIN_SECONDS = 5.0
_HOSTILE_NICENESS = 19  # a hostile client's own work is done on another machine
_POLITE_TOKEN, _HOSTILE_TOKEN = "token-of-polite-client-{:02}", "token-of-a-hostile-grant"

Waits = dict[tuple[int, str], list[float]]
"""The seconds of each call, by client and tool."""


def _call(index: int, turn: int) -> tuple[str, dict[str, object]]:
    """One question of a client: a short one, one for a worker process, or one in SQL, in turn."""
    run = run_name((index * 7 + turn) % 200)
    questions: Sequence[tuple[str, dict[str, object]]] = (
        ("get_run", {"run_id": run}),
        ("rank_runs", {"metric": "loss", "goal": "lower", "where": f"seed < {10 + index + turn}"}),
        ("query_sql", {"query": f"SELECT COUNT(*) FROM points WHERE run_id = '{run}'"}),
    )
    return questions[(turn + index) % len(questions)]


async def _ask(client: Client, index: int, rounds: int, waits: Waits) -> None:
    """Asks now and then, as somebody does who reads the answers."""
    await anyio.sleep(_PAUSE_SECONDS * index / _POLITE)
    for turn in range(rounds):
        tool, arguments = _call(index, turn)
        began = anyio.current_time()
        result = await client.call_tool(tool, arguments)
        waits[index, tool].append(anyio.current_time() - began)
        if result.is_error:
            raise AssertionError(f"a polite client was refused: {result.content}")
        await anyio.sleep(_PAUSE_SECONDS)


async def _ask_all(clients: list[Client], rounds: int) -> Waits:
    waits: Waits = defaultdict(list)
    async with anyio.create_task_group() as group:
        for index, client in enumerate(clients):
            group.start_soon(_ask, client, index, rounds, waits)
    return waits


async def _connected(server: Server, index: int, clients: list[Client], done: anyio.Event) -> None:
    async with bearing(server.url, _POLITE_TOKEN.format(index), "auto" if index % 2 else "legacy") as client:
        clients.append(client)
        await done.wait()


@asynccontextmanager
async def _hostile(server: Server, folder: Path) -> AsyncGenerator[None]:
    """The hostile process, for the length of the block."""
    arguments = [server.url, _HOSTILE_TOKEN, str(folder)]
    command = ["nice", "-n", str(_HOSTILE_NICENESS), sys.executable, "-m", "tests.soak.hostile", *arguments]
    process = await anyio.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await anyio.sleep(_BEGIN_SECONDS)
        yield
        if process.returncode is not None:
            raise AssertionError("the hostile process ended by itself")
    finally:
        process.kill()
        await process.wait()


async def _both(server: Server, folder: Path, rounds: int) -> tuple[list[Waits], list[Waits]]:
    """The waits of the same clients alone, and beside the hostile process."""
    clients: list[Client] = []
    done = anyio.Event()
    alone, beside = list[Waits](), list[Waits]()
    async with anyio.create_task_group() as group:
        for index in range(_POLITE):
            group.start_soon(_connected, server, index, clients, done)
        while len(clients) < _POLITE:
            await anyio.sleep(0.1)
        await _ask_all(clients, 3)  # what the first calls import and load is nobody's time
        for _ in range(_REPETITIONS):
            alone.append(await _ask_all(clients, rounds))
            async with _hostile(server, folder):
                beside.append(await _ask_all(clients, rounds))
        done.set()
    return alone, beside


def _places(root: Path) -> tuple[Path, Path]:
    """Makes the hostile grant's folder, and the file of tokens."""
    hostile, tokens = root.parent / "hostile", root.parent / "tokens"
    (hostile / "run").mkdir(parents=True)
    rows = [json.dumps({"step": step, "loss": 1 / (step + 1)}) for step in range(200)]
    (hostile / "run" / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    lines = [f"polite{i} {_POLITE_TOKEN.format(i)} '{root}'" for i in range(_POLITE)]
    tokens.write_text("\n".join([*lines, f"hostile {_HOSTILE_TOKEN} '{hostile}'"]) + "\n")
    return hostile, tokens


def _together(repetitions: list[Waits]) -> Waits:
    found: Waits = defaultdict(list)
    for waits in repetitions:
        for client, seconds in waits.items():
            found[client] += seconds
    return found


def _by(part: int, waits: Waits) -> dict[int | str, list[float]]:
    """The waits by client (0) or by tool (1)."""
    found: dict[int | str, list[float]] = defaultdict(list)
    for key, seconds in waits.items():
        found[key[part]] += seconds
    return found


def _told(waits: Waits) -> str:
    return ", ".join(f"{tool} {median(s):.2f} (at most {max(s):.2f})" for tool, s in _by(1, waits).items())


def hostile_neighbours_harm_nobody(root: Path, share: float) -> Generator[Finding]:
    """A hostile grant and odd files beside 50 polite clients: none gets an error or waits more than 5 times its own time."""
    hostile, tokens = _places(root)
    rounds = max(6, int(_ROUNDS * share))
    with serving(root, "--root", str(hostile), "--token-file", str(tokens), "--calls-per-minute", "1200") as server:
        alone, beside = map(_together, anyio.run(_both, server, hostile, rounds))
    own = _by(0, alone)
    times = max(sum(seconds) / sum(own[client]) for client, seconds in _by(0, beside).items())
    of_tool_alone = _by(1, alone)
    usual = {tool: max(_LEAST_SECONDS, mean(seconds)) for tool, seconds in of_tool_alone.items()}
    of_tool = max(mean(seconds) / usual[tool] for (_, tool), seconds in beside.items())
    longest = {tool: max(seconds) for tool, seconds in of_tool_alone.items()}
    worst = max(max(seconds) / longest[tool] for tool, seconds in _by(1, beside).items())
    yield Finding(
        max(times, of_tool, worst) <= _TIMES,
        f"{sum(map(len, beside.values()))} calls of {_POLITE} clients without an error; seconds alone: {_told(alone)}; "
        f"beside: {_told(beside)}; a client waits at most {times:.1f} times its own time, "
        f"for one tool {of_tool:.1f} times the usual, "
        f"the longest of all {worst:.1f} times the longest alone",
    )
