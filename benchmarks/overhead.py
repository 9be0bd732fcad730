"""What our stack adds to a call: a tool that does nothing on our server, and the same tool on the SDK's bare server.

    python benchmarks/overhead.py [ROUNDS]

Both servers run all the while; blocks of calls go to them in turn, by a client in plain Python that adds next to nothing.
The promise is a ratio of at most 1.25 on stdio and on HTTP, in both eras of the protocol.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

TARGET = 1.25
CALLS = 100
TOOL = """
def noop(text: str = "") -> str:
    "Answer with the same text."
    return text
"""
BARE_STDIO = f"""
from mcp.server import MCPServer
{TOOL}
server = MCPServer("bare")
server.tool()(noop)
server.run()
"""
BARE_HTTP = f"""
import sys, uvicorn
from mcp.server import MCPServer
{TOOL}
server = MCPServer("bare")
server.tool()(noop)
uvicorn.run(server.streamable_http_app(), port=int(sys.argv[1]), log_config=None, access_log=False)
"""
OURS_STDIO = f"""
import sys
from sweeplens_mcp.protocol import app; from sweeplens_mcp.cli.commands import commands
{TOOL}
build = app.build_server
def with_noop(*args, **more):
    server = build(*args, **more)
    server.tool()(noop)
    return server
app.build_server = with_noop
commands.main(["serve", "--root", sys.argv[2]])
"""
OURS_HTTP = f"""
import sys
from sweeplens_mcp.cli.commands import commands
from sweeplens_mcp.http import serve
{TOOL}
build = serve.build_server
def with_noop(*args, **more):
    server = build(*args, **more)
    server.tool()(noop)
    return server
serve.build_server = with_noop
commands.main(["serve", "--http", "--port", sys.argv[1], "--calls-per-minute", "1000000000", "--root", sys.argv[2]])
"""
ABOUT = {"name": "overhead", "version": "0"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": ABOUT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": ABOUT}
ACCEPT = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
Call = Callable[[], None]


def message(era: str, number: int = 1) -> dict[str, Any]:
    """A call of the tool."""
    params: dict[str, Any] = {"name": "noop", "arguments": {"text": "x"}}
    if era == "modern":
        params["_meta"] = META
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


@contextmanager
def over_stdio(code: str, era: str, root: str) -> Generator[Call]:
    """A server on a pipe, and how to call its tool once."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, "0", root],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    wire_in, wire_out = process.stdin, process.stdout

    def ask(asked: dict[str, Any]) -> dict[str, Any]:
        wire_in.write(json.dumps(asked).encode() + b"\n")
        wire_in.flush()
        return json.loads(wire_out.readline())

    if era == "legacy":
        ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO})
        wire_in.write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
    with process:
        yield lambda: check(ask(message(era)))
        wire_in.close()


@contextmanager
def over_http(code: str, era: str, root: str) -> Generator[Call]:
    """A server on a port, and how to call its tool once on a connection that stays open."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", code, str(port), root], stderr=subprocess.DEVNULL)
    wait_for(port)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = dict(ACCEPT)

    def post(asked: dict[str, Any]) -> tuple[http.client.HTTPResponse, bytes]:
        connection.request("POST", "/mcp", json.dumps(asked), headers)
        answer = connection.getresponse()
        return answer, answer.read()

    if era == "modern":
        headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "noop"}
    else:
        answer, _ = post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO})
        headers |= {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": answer.headers["mcp-session-id"]}
        post({"jsonrpc": "2.0", "method": "notifications/initialized"})
    try:
        yield lambda: check(json.loads(post(message(era))[1].rpartition(b"data: ")[2]))
    finally:
        connection.close()
        process.kill()
        process.wait()


def check(answer: dict[str, Any]) -> None:
    """The tool must have answered."""
    assert answer["result"]["content"][0]["text"] == "x", answer


def wait_for(port: int) -> None:
    """Waits until the port accepts connections."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the server did not begin to listen")


def block(call: Call) -> float:
    """Milliseconds of a call: the median of a block."""
    times: list[float] = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def measured(door: Any, bare: str, ours: str, era: str, root: str, rounds: int) -> tuple[float, float, float]:
    """Milliseconds on the bare server and on ours, and the median of the ratios of neighbouring blocks."""
    with ExitStack() as stack:
        calls = [stack.enter_context(door(code, era, root)) for code in (bare, ours)]
        for call in calls:
            block(call)
        pairs = [(block(calls[0]), block(calls[1])) for _ in range(rounds)]
    plain, mine = (statistics.median(times) for times in zip(*pairs, strict=True))
    return plain, mine, statistics.median(b / a for a, b in pairs)


def main(rounds: int = 30) -> None:
    """Print the table of the README."""
    print("## What a call costs beside the SDK's bare server\n\n`python benchmarks/overhead.py`\n")
    print("| transport, era | bare, ms | sweeplens, ms | ratio | target | met |\n|---|---|---|---|---|---|")
    doors = (("stdio", over_stdio, BARE_STDIO, OURS_STDIO), ("HTTP", over_http, BARE_HTTP, OURS_HTTP))
    with tempfile.TemporaryDirectory() as root:
        os.environ["ANALYSIS_CACHE_DIR"] = str(Path(root) / "cache")
        for name, door, bare, ours in doors:
            for era in ("legacy", "modern"):
                plain, mine, ratio = measured(door, bare, ours, era, root, rounds)
                met = "yes" if ratio <= TARGET else "no"
                print(f"| {name}, {era} | {plain:.2f} | {mine:.2f} | {ratio:.2f} | {TARGET} | {met} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
