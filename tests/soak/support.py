"""Helpers of the trials: a folder of distinct runs, a server process, its memory and descriptors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RUNS = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a bound held, and the figures."""

    held: bool
    what: str


@dataclass(frozen=True, slots=True)
class Server:
    """A server process over HTTP."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def megabytes(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def run_name(index: int) -> str:
    return f"run{index:04d}"


def write_runs(root: Path) -> Path:
    """RUNS runs; the last loss of run i is i."""
    for index in range(RUNS):
        folder = root / run_name(index)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"lr": 10 ** -(1 + index % 3), "seed": index // 3}))
        rows = [{"step": s, "loss": float(index + 20 - s), "val/acc": 1 / (index + s + 1)} for s in range(21)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return root


@contextmanager
def serving(root: Path, *options: str, **more: str) -> Generator[Server]:
    """A server process; it is ended afterwards, and must end by itself within ten seconds. ``more``: of its environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "sweeplens_mcp", "serve", "--http", "--port", str(port), "--root", str(root)]
    environment = {**os.environ, "ANALYSIS_CACHE": "memory", **more}
    limits = ["--calls-per-minute", "0", *options]
    process = subprocess.Popen(
        [*command, *limits], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        _wait(port)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the server did not begin to listen")
