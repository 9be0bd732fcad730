"""Many clients, long use."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import anyio
from mcp import Client, StdioServerParameters
from tests.soak.support import RUNS, Finding, Server, run_name, serving

_CLIENTS = 100
_CALLS = 10_000
_STDIO_CALLS = 2_000
_TURNS = 4


async def _right(client: Client, index: int) -> bool:
    """Whether the answer about a run is that run's."""
    result = await client.call_tool("query_metrics", {"metrics": ["^loss$"], "runs": [run_name(index)], "x_min": 20})
    (series,) = (result.structured_content or {})["series"]
    return series["run_id"] == run_name(index) and series["value"] == [float(index)]


async def _ask(client: Client, first: int, calls: int, wrong: list[int]) -> None:
    for step in range(calls):
        index = (first * 7 + step) % RUNS
        if not await _right(client, index):
            wrong.append(index)


async def _over_http(server: Server, clients: int, calls: int) -> list[int]:
    wrong: list[int] = []

    async def one(first: int) -> None:
        async with Client(server.url, mode="auto" if first % 2 else "legacy") as client:
            await _ask(client, first, calls // clients, wrong)

    async with anyio.create_task_group() as group:
        for first in range(clients):
            group.start_soon(one, first)
    return wrong


def http_answers_are_the_callers_own(root: Path, share: float) -> Generator[Finding]:
    """10,000 calls from 100 concurrent clients over HTTP, each for another run: every answer is that run's."""
    calls = int(_CALLS * share) // _CLIENTS * _CLIENTS
    with serving(root) as server:
        began = time.perf_counter()
        wrong = anyio.run(_over_http, server, _CLIENTS, calls)
        rate = calls / (time.perf_counter() - began)
    yield Finding(not wrong, f"{calls} calls from {_CLIENTS} clients, {len(wrong)} wrong, {rate:.0f} calls/s")


def two_hundred_clients_are_served(root: Path, share: float) -> Generator[Finding]:
    """200 clients at the same time, every answer right."""
    del share
    with serving(root) as server:
        wrong = anyio.run(_over_http, server, 200, 2_000)
        memory = server.megabytes()
    yield Finding(not wrong, f"2000 calls from 200 clients, {len(wrong)} wrong, {memory:.0f} MB")


async def _over_stdio(root: Path, calls: int) -> list[int]:
    wrong: list[int] = []
    command = ["-m", "sweeplens_mcp", "serve", "--root", str(root)]
    environment = {**os.environ, "ANALYSIS_CACHE": "memory"}
    parameters = StdioServerParameters(command=sys.executable, args=command, env=environment)
    async with Client(parameters) as client, anyio.create_task_group() as group:
        for first in range(20):
            group.start_soon(_ask, client, first, calls // 20, wrong)
    return wrong


def stdio_answers_are_the_callers_own(root: Path, share: float) -> Generator[Finding]:
    """2,000 calls interleaved on one pipe, each for another run: every answer is that run's."""
    calls = int(_STDIO_CALLS * share)
    wrong = anyio.run(_over_stdio, root, calls)
    yield Finding(not wrong, f"{calls} calls interleaved on one pipe, {len(wrong)} wrong")


def memory_and_descriptors_stay(root: Path, share: float) -> Generator[Finding]:
    """Ten rounds of the same load: memory at the end at most 10 % above the first round's, no descriptor more."""
    calls = int(_CALLS * share) // 10
    with serving(root) as server:
        anyio.run(_over_http, server, 10, calls // 10 * 10)
        memory, descriptors = server.megabytes(), server.descriptors()
        for _ in range(9):
            anyio.run(_over_http, server, 10, calls // 10 * 10)
        after, left = server.megabytes(), server.descriptors()
    yield Finding(after <= memory * 1.1, f"memory {memory:.0f} MB after the first tenth, {after:.0f} MB at the end")
    yield Finding(left <= descriptors + 5, f"descriptors {descriptors} after the first tenth, {left} at the end")


async def _timed(client: Client, calls: int) -> list[float]:
    times: list[float] = []
    for index in range(calls):
        began = time.perf_counter()
        await client.call_tool("list_runs", {"runs": [run_name(index % RUNS)]})
        times.append(time.perf_counter() - began)
    return times


class HeavyCall(NamedTuple):
    """A tool that takes long, and its arguments; ``differently(i)`` asks for something else, so that no cache answers."""

    tool: str
    arguments: dict[str, Any]

    def differently(self, index: int) -> dict[str, Any]:
        return {**self.arguments, "where": f'"loss.last" >= {index / 10}'}


_EFFECTS = HeavyCall("hparam_effects", {"metric": "loss"})
_PLOT = HeavyCall("plot", {"kind": "curves", "metrics": ["loss"]})


async def _beside_heavy(server: Server, calls: int, what: HeavyCall) -> tuple[list[float], list[float], int]:
    """Times of light calls alone and beside heavy ones, in turns, so that other load on the machine falls on both."""
    alone: list[float] = []
    busy: list[float] = []
    done: list[int] = []
    async with Client(server.url) as light, Client(server.url) as heavy:
        await _timed(light, 50)
        await heavy.call_tool(what.tool, what.arguments)
        for _ in range(_TURNS):
            alone += await _timed(light, calls // _TURNS)
            async with anyio.create_task_group() as group:
                for index in range(8):
                    group.start_soon(_keep_asking, heavy, index, done, what)
                await anyio.sleep(0.2)
                busy += await _timed(light, calls // _TURNS)
                group.cancel_scope.cancel()
            await heavy.call_tool(what.tool, what.arguments)
    return alone, busy, len(done)


async def _keep_asking(client: Client, index: int, done: list[int], what: HeavyCall) -> None:
    while True:
        result = await client.call_tool(what.tool, what.differently(index))
        if not result.is_error:
            done.append(index)


def light_calls_stay_quick_beside_heavy_ones(root: Path, share: float) -> Generator[Finding]:
    """The 99th percentile of light calls while eight heavy ones run is at most five times their own."""
    yield from _light_calls_stay_quick(root, share, _EFFECTS)


def light_calls_stay_quick_beside_pictures(root: Path, share: float) -> Generator[Finding]:
    """The 99th percentile of light calls while eight pictures are drawn is at most five times their own."""
    yield from _light_calls_stay_quick(root, share, _PLOT)


def _light_calls_stay_quick(root: Path, share: float, what: HeavyCall) -> Generator[Finding]:
    with serving(root) as server:
        alone, busy, heavy = anyio.run(_beside_heavy, server, max(400, int(2000 * share)), what)
    before, during = quantiles(alone, n=100), quantiles(busy, n=100)
    yield Finding(
        during[98] <= 5 * before[98] and heavy > 0,
        f"light calls take {before[49] * 1e3:.1f} ms (p99 {before[98] * 1e3:.1f}) alone, {during[49] * 1e3:.1f} ms "
        f"(p99 {during[98] * 1e3:.1f}) beside 8 heavy ones, {during[98] / before[98]:.1f} times; {heavy} of those ended",
    )
