"""Cancelled calls: how long the server's processes continue to work after the cancel."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters
from tests.soak.support import Finding, serving
from tests.support.processes import ENDLESS

_RUNS = 2_000
_STEPS = 100
_WITHIN_SECONDS = 1.0
_TRIES = 3
_CANCEL_AFTER = 0.15
_WINDOW = 0.1
_WINDOWS = 5
_IDLE = 0.3  # of one processor: use of an idle server

_CALLS: Mapping[str, dict[str, object]] = {
    "rank_runs": {"metric": "val/acc", "by": "run", "reduce": "last_k:10"},
    "compare_runs": {"a": "run0*", "b": "run1*"},
    "hparam_effects": {"metric": "val/acc"},
    "diagnose_runs": {},
    "query_sql": ENDLESS,
    "query_metrics": {"metrics": ["."], "max_points": 20},
    "summarize_by_hparams": {"metrics": ["val/acc", "train/loss"], "reduce": "last_k:10"},
}


def write_sweep(root: Path) -> Path:
    """Random search over eight hyperparameters: enough that the heavy tools take a while."""
    dice = random.Random(7)
    for index in range(_RUNS):
        folder = root / f"run{index:04d}"
        folder.mkdir(parents=True)
        config = {"seed": index % 3, "opt": dice.choice(["adam", "sgd"]), "depth": dice.randint(1, 12)}
        config |= {name: dice.random() for name in ("lr", "decay", "dropout", "momentum", "warmup")}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        rows = ({"step": s, **{m: dice.random() for m in ("train/loss", "val/loss", "val/acc")}} for s in range(_STEPS))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


def cancelled_calls_free_their_processor(root: Path, share: float) -> Generator[Finding]:
    """Each heavy tool, cancelled in its middle on a large sweep: the processor is free within a second."""
    del share
    sweep = write_sweep(root.parent / "sweep")
    with serving(sweep, ANALYSIS_CACHE="disk", ANALYSIS_CACHE_DIR=str(root.parent / "cache")) as server:
        yield from anyio.run(_tried, server.url, server.process.pid, "HTTP")
    command = ["-m", "sweeplens_mcp", "serve", "--root", str(sweep)]
    environment = {**os.environ, "ANALYSIS_CACHE_DIR": str(root.parent / "cache")}
    parameters = StdioServerParameters(command=sys.executable, args=command, env=environment)
    yield from anyio.run(_tried, parameters, os.getpid(), "stdio")


async def _tried(door: str | StdioServerParameters, pid: int, name: str) -> list[Finding]:
    """``pid``: the server over HTTP; over stdio this very process, whose descendants are looked at."""
    seconds: dict[str, float] = {}
    async with Client(door) as client:
        for _ in range(2):  # imports at first need are no part of a call
            for tool in ("rank_runs", "hparam_effects", "diagnose_runs"):
                await client.call_tool(tool, _CALLS[tool])
        for tool, arguments in _CALLS.items():
            for _ in range(_TRIES):  # a call may have ended before it is cancelled
                if tool not in seconds:
                    seconds |= await _cancelled(client, tool, arguments, pid)
    worst = max(seconds, key=lambda tool: seconds[tool])
    what = f"{name}: {len(seconds)} of {len(_CALLS)} calls were cancelled in time, the slowest rested after "
    return [Finding(seconds[worst] <= _WITHIN_SECONDS, f"{what}{seconds[worst]:.1f} s ({worst})")]


async def _cancelled(client: Client, tool: str, arguments: dict[str, object], pid: int) -> dict[str, float]:
    """Seconds from the cancel to rest, by tool; nothing where the call ended before."""
    ended = False

    async def call() -> None:
        nonlocal ended
        if (await client.call_tool(tool, arguments)).is_error:
            raise AssertionError(f"{tool} was refused")
        ended = True

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.move_on_after(_CANCEL_AFTER):
            while not ended:
                await anyio.sleep(0.01)
        began = time.monotonic()
        group.cancel_scope.cancel()
    return {} if ended else {tool: await anyio.to_thread.run_sync(_until_idle, pid, began)}


def _until_idle(pid: int, began: float) -> float:
    """Seconds until the server used next to nothing for some windows in a row; a busy machine may well skip one."""
    rested = began
    while time.monotonic() - began < 30:
        before = _processor_seconds(pid)
        time.sleep(_WINDOW)
        if _processor_seconds(pid) - before >= _IDLE * _WINDOW:
            rested = time.monotonic()
        elif time.monotonic() - rested > _WINDOWS * _WINDOW:
            return rested - began
    return time.monotonic() - began


def _processor_seconds(pid: int) -> float:
    """What a process and its descendants have used; this very process is left out, its descendants are not."""
    own = 0.0 if pid == os.getpid() else _used(pid)
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return own + sum(_processor_seconds(int(child)) for file in listed for child in _text(file).split())


def _used(pid: int) -> float:
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
