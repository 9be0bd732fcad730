"""How long a client waits: process start to the answer of the first tools/list, as a ratio to the SDK's bare server.

    python benchmarks/start.py [ROUNDS]

Both servers are started in turn, in one run, on the same machine and with the same Python, so that the ratio means
something where the seconds do not. The promise is a ratio of at most 1.3.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time

TARGET = 1.3
BARE = """
from mcp.server import MCPServer
server = MCPServer("bare")
@server.tool()
def ping(text: str = "") -> str:
    "Answer with the same text."
    return text
server.run()
"""
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "start", "version": "0"}}


def seconds_to_list(command: list[str]) -> float:
    """Start a server, shake hands, list the tools, end it."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        _send(process, {"id": 1, "method": "initialize", "params": HELLO})
        process.stdout.readline()
        _send(process, {"method": "notifications/initialized"})
        _send(process, {"id": 2, "method": "tools/list"})
        answer = json.loads(process.stdout.readline())
        waited = time.perf_counter() - began
        process.stdin.close()
    assert answer["result"]["tools"]
    return waited


def _send(process: subprocess.Popen[str], message: dict[str, object]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    process.stdin.flush()


def main(rounds: int = 21) -> None:
    """Measure in turn and print the table of the README: medians, and the median of the ratios of neighbours."""
    bare = [sys.executable, "-c", BARE]
    with tempfile.TemporaryDirectory() as root:
        ours = [sys.executable, "-m", "sweeplens_mcp", "serve", "--root", root]
        for command in (bare, ours):
            seconds_to_list(command)  # once for the file cache
        pairs = [(seconds_to_list(bare), seconds_to_list(ours)) for _ in range(rounds)]
    plain, mine = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(mine / other for other, mine in pairs)
    print("## Start to the first tools/list beside the SDK's bare server\n\n`python benchmarks/start.py`\n")
    print("| bare, s | sweeplens, s | ratio | target | met |\n|---|---|---|---|---|")
    print(f"| {plain:.2f} | {mine:.2f} | {ratio:.2f} | {TARGET} | {'yes' if ratio <= TARGET else 'no'} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
