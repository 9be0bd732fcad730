"""Shutdown of a server, and the end of its clients: calls in flight are answered, no process outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.types import CallToolResult
from support.doors import text_of
from support.processes import ENDLESS, HELLO, Served, at_a_query, children, pipe, send, serving, threads, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]
# Two hundred points joined with themselves four times: no machine ends that, the bound in seconds does.
STDERR_KEYS = {"time", "level", "logger", "message"}


def _bounded(seconds: int) -> Mapping[str, str]:
    return {"ANALYSIS_QUERY_SECONDS": str(seconds)}


def _gone(pid: int) -> bool:
    """Returns whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_sigterm_lets_a_call_in_flight_be_answered_and_then_ends_the_server(
    sweep: Path, tmp_path: Path, era: str
) -> None:
    answers: list[CallToolResult] = []
    with serving(sweep, tmp_path / "log", more=_bounded(2)) as server:

        async def call() -> None:
            async with Client(server.url, mode=era) as client:
                answers.append(await client.call_tool("query_sql", ENDLESS))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.to_thread.run_sync(until, lambda: bool(at_a_query(server.process.pid)))
            server.process.send_signal(signal.SIGTERM)
        server.process.wait(10)
    assert "was stopped after 2 s" in text_of(answers[0])


async def test_sigterm_ends_a_server_within_ten_seconds_even_if_a_call_does_not_end(
    sweep: Path, tmp_path: Path, era: str
) -> None:
    with serving(sweep, tmp_path / "log", more=_bounded(600)) as server:

        async def call() -> None:
            async with Client(server.url, mode=era) as client:
                await client.call_tool("query_sql", ENDLESS)

        async with anyio.create_task_group() as group:
            group.start_soon(_forgiving, call)
            await anyio.to_thread.run_sync(until, lambda: bool(at_a_query(server.process.pid)))
            left = children(server.process.pid)
            server.process.send_signal(signal.SIGTERM)
            await anyio.to_thread.run_sync(server.process.wait, 10)
            group.cancel_scope.cancel()
        until(lambda: all(_gone(child) for child in left))
    assert [line for line in server.logged() if line["level"] == "critical"] == []


async def _forgiving(call: object) -> None:
    """A call that is cut off may end as it likes."""
    try:
        await call()  # type: ignore[operator]
    except Exception:  # noqa: BLE001  # whatever a client makes of a server that goes away
        return


def test_the_end_of_stdin_ends_the_process_with_all_that_it_started(sweep: Path) -> None:
    with pipe(sweep, more=_bounded(600)) as process:
        call = {"name": "query_sql", "arguments": ENDLESS}
        send(process, *HELLO, {"id": 2, "method": "tools/call", "params": call})
        until(lambda: bool(at_a_query(process.pid)))
        left = children(process.pid)
        assert process.stdin
        process.stdin.close()
        assert process.wait(5) == 0  # a second on a machine that is not busy; `make soak` measures it
        until(lambda: all(_gone(child) for child in left))


async def test_a_server_that_is_killed_leaves_no_process_behind(sweep: Path, tmp_path: Path) -> None:
    with serving(sweep, tmp_path / "log", more=_bounded(600)) as server:
        async with Client(server.url) as client:
            await client.call_tool("rank_runs", {"metric": "val/acc"})
        async with _in_a_call(server, 0):
            left = children(server.process.pid)
            server.process.kill()
            await anyio.to_thread.run_sync(until, lambda: all(_gone(child) for child in left))
        assert len(left) == 2  # a worker, and the query


def test_a_client_that_is_gone_before_it_is_answered_ends_the_process_without_a_word(sweep: Path) -> None:
    with pipe(sweep) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        send(process, *HELLO, {"id": 2, "method": "tools/list"})
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


async def test_clients_that_die_during_a_call_leave_no_thread_and_no_process(sweep: Path, tmp_path: Path) -> None:
    with serving(sweep, tmp_path / "log", more=_bounded(600)) as server:
        pid = server.process.pid
        async with Client(server.url) as client:
            await client.call_tool("query_sql", {"query": "SELECT COUNT(*) FROM points"})
            await client.call_tool("rank_runs", {"metric": "val/acc"})
        before, started = threads(pid), len(children(pid))
        for index in range(8):
            async with _in_a_call(server, index):
                pass  # and close the connection
        await anyio.to_thread.run_sync(until, lambda: not at_a_query(pid))
        await anyio.to_thread.run_sync(until, lambda: len(children(pid)) <= started)
        await anyio.to_thread.run_sync(until, lambda: threads(pid) <= before + 2)  # pools keep a few for the next
        async with Client(server.url) as client:
            assert not (await client.call_tool("rank_runs", {"metric": "val/acc"})).is_error


@asynccontextmanager
async def _in_a_call(server: Served, index: int) -> AsyncIterator[None]:
    """While the server is at a call that does not end; its connection is closed afterwards."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    call = {"name": "query_sql", "arguments": {**ENDLESS, "limit": index + 1}, "_meta": meta}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "query_sql",
    }
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http, anyio.create_task_group() as group:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        group.start_soon(_forgiving, lambda: http.post(server.url, json=body))
        await anyio.to_thread.run_sync(until, lambda: bool(at_a_query(server.process.pid)))
        yield
        group.cancel_scope.cancel()


def test_stdout_stays_clean_when_a_library_prints_while_it_is_imported_or_used(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Chatty:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('sweeplens_mcp.protocol.app', 'sweeplens.experiment_db', 'sweeplens.analyses.ranking'):\n"
        "            print('hello from', name)\n"
        "            os.write(1, b'and from C\\n')\n"
        "sys.meta_path.insert(0, Chatty())\n"
    )
    found_first = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    with pipe(sweep, more={"PYTHONPATH": found_first}) as process:
        call = {"name": "rank_runs", "arguments": {"metric": "val/acc"}}
        send(process, *HELLO, {"id": 2, "method": "tools/call", "params": call})
        assert process.stdout
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        out, err = process.communicate(timeout=30)
    assert [answer["id"] for answer in answers] == [1, 2]
    assert out == b""
    assert err.count(b"hello from") == err.count(b"and from C") == 3


@pytest.mark.parametrize(("level", "told"), [("error", False), ("warning", False), ("debug", True)])
def test_logs_are_lines_of_json_on_stderr_of_the_level_that_is_asked_for(
    sweep: Path, tmp_path: Path, level: str, told: bool
) -> None:
    with serving(sweep, tmp_path / "log", "--log-level", level) as server:
        httpx2.post(server.url, content=b"{", headers={"Content-Type": "application/json", "Accept": "*/*"})
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(10)
        lines = server.logged()
    assert all(line.keys() >= STDERR_KEYS for line in lines)
    assert any(f"serving on http://127.0.0.1:{server.port}/mcp" in line["message"] for line in lines)
    assert any(line["level"] == "debug" for line in lines) == told
    assert not told or len(lines) > 1


def test_an_unexpected_error_is_one_line_of_the_log(tmp_path: Path) -> None:
    code = (
        "import threading; from sweeplens_mcp.logs import log_to_stderr; log_to_stderr()\n"
        "t = threading.Thread(target=lambda: 1 / 0, name='unlucky'); t.start(); t.join()\n"
        "raise ValueError('no\\x1b[31m')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["error", "critical"]
    assert "ZeroDivisionError" in lines[0]["traceback"]
    assert "unlucky" in lines[0]["message"]
    assert "\x1b" not in done.stderr
