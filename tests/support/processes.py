"""Server processes for tests that look at what a server leaves behind: its children, its threads, its stderr."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ENDLESS", "HELLO", "Served", "at_a_query", "children", "pipe", "send", "serving", "threads", "until"]

_FEW = "(SELECT value FROM points LIMIT 150)"
ENDLESS = {
    "query": f"SELECT COUNT(*) AS n FROM {_FEW} a, {_FEW} b, {_FEW} c, {_FEW} d "
    f"WHERE {'SIN(COS(' * 8}a.value + b.value + c.value + d.value{'))' * 8} > 2"
}
"""Arguments of a query that takes half a minute and little memory, however many points there are."""
_COMMAND = [sys.executable, "-m", "sweeplens_mcp", "serve"]


@dataclass(frozen=True, slots=True)
class Served:
    """A server over HTTP, and the file that holds its stderr."""

    process: subprocess.Popen[bytes]
    port: int
    errors: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def logged(self) -> list[dict[str, Any]]:
        """Its stderr, each line of which must be JSON."""
        return [json.loads(line) for line in self.errors.read_text(encoding="utf-8").splitlines()]


@contextmanager
def serving(
    root: Path, errors: Path, *options: str, more: Mapping[str, str] | None = None, seconds: float = 60
) -> Iterator[Served]:
    """A server process over HTTP on a free port; ended, if it still lives, when the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [*_COMMAND, "--http", "--port", str(port), "--root", str(root), *options]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env={**os.environ, **(more or {})}
        )
    try:
        until(lambda: _listens(port), seconds)
        yield Served(process, port, errors)
    finally:
        process.kill()
        process.wait()


@contextmanager
def pipe(root: Path, *options: str, more: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a pipe."""
    process = subprocess.Popen(
        [*_COMMAND, "--root", str(root), *options], env={**os.environ, **(more or {})},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def send(process: subprocess.Popen[bytes], *messages: Mapping[str, object]) -> None:
    """Write messages on a server's pipe."""
    assert process.stdin
    process.stdin.write("".join(json.dumps({"jsonrpc": "2.0", **m}) + "\n" for m in messages).encode())
    process.stdin.flush()


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Waits until a condition holds; its time is not tested."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not come to be within {seconds:.0f} s"
        time.sleep(0.05)


def children(pid: int) -> dict[int, str]:
    """The processes that a process started and that live, with their command lines."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    pids = [int(child) for file in listed for child in _text(file).split()]
    lines = {child: _text(Path(f"/proc/{child}/cmdline")).replace("\0", " ") for child in pids}
    return {child: line for child, line in lines.items() if line}


def at_a_query(pid: int) -> list[int]:
    """The processes that a process started and that are at a SQL query; idle ones are kept for the next."""
    return [child for child in children(pid) if _text(Path(f"/proc/{child}/comm")).strip() == "sweeplens-query"]


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it ended while we looked


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


HELLO: Sequence[Mapping[str, object]] = (
    {
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "tests", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
)
