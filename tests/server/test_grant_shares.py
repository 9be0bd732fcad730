"""Many grants of one server: no grant can block the others, and work of a grant that disconnects stops."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from support.doors import data_of, text_of
from support.lab import EVERYTHING, PUBLIC, asking, lab, web
from support.processes import ENDLESS, Served, at_a_query, children, serving, until
from support.sweep import write_run

__all__ = ["lab"]  # a fixture
pytestmark = pytest.mark.anyio
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
GREEDY, MODEST = "token-of-the-greedy-one", "token-of-the-modest-one"


def call(method: str, params: object, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


@asynccontextmanager
async def bearing(url: str, token: str, era: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=era) as client,
    ):
        yield client


async def _opened(http: httpx2.AsyncClient) -> str:
    """The id of a session that was opened and greeted."""
    answer = await http.post("/mcp", json=call("initialize", HELLO), headers=HEADERS)
    session = str(answer.headers["mcp-session-id"])
    greeting = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post("/mcp", json=greeting, headers={**HEADERS, "Mcp-Session-Id": session})
    return session


async def _pinged(http: httpx2.AsyncClient, session: str) -> int:
    headers = {**HEADERS, "Mcp-Session-Id": session}
    return (await http.post("/mcp", json=call("ping", {}), headers=headers)).status_code


async def test_a_grant_with_too_many_sessions_loses_its_oldest_and_other_grants_lose_none(lab: Path) -> None:
    async with web(lab, PUBLIC, sessions_per_grant=3) as http:
        other = {"Authorization": f"Bearer {EVERYTHING}"}
        theirs = str(
            (await http.post("/mcp", json=call("initialize", HELLO), headers=HEADERS | other)).headers["mcp-session-id"]
        )
        opened = [await _opened(http) for _ in range(3)]
        assert await _pinged(http, opened[0]) == 200  # used a moment ago, so that another is the oldest
        opened.append(await _opened(http))
        assert [await _pinged(http, session) for session in opened] == [200, 404, 200, 200]
        answer = await http.post("/mcp", json=call("ping", {}), headers={**HEADERS, **other, "Mcp-Session-Id": theirs})
        assert answer.status_code == 200


async def test_forty_spellings_of_one_token_are_one_client(lab: Path) -> None:
    async with web(lab, calls_per_minute=5) as http:
        codes: list[int] = []
        for index in range(40):
            scheme = "".join(c.upper() if index >> i & 1 else c for i, c in enumerate("bearer"))
            authorization = {"Authorization": f"{scheme} {PUBLIC}"}
            codes.append((await http.post("/mcp", json={}, headers=authorization)).status_code)
    assert codes.count(429) == 35


async def test_wrong_tokens_do_not_block_a_right_token_from_the_same_address(lab: Path) -> None:
    async with web(lab, calls_per_minute=30) as http:
        codes = [
            (await http.post("/mcp", json={}, headers={"Authorization": f"Bearer wrong-token-{i:08}"})).status_code
            for i in range(302)
        ]
        right = await http.post("/mcp", json={}, headers={"Authorization": f"Bearer {PUBLIC}"})
    refused = codes.count(401)  # thirty at once, and one more for every two seconds that the rest take
    assert 30 <= refused < 100
    assert refused + codes.count(429) == 302
    assert right.status_code not in (401, 429)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
async def test_a_client_that_disconnects_frees_its_place_and_ends_its_process(
    sweep: Path, tmp_path: Path, era: str
) -> None:
    with serving(sweep, tmp_path / "log", more={"ANALYSIS_QUERY_SECONDS": "600"}) as server:
        for index in range(3):
            await _leave_in_a_call(server, era, index)
            began = time.monotonic()
            await anyio.to_thread.run_sync(until, lambda: not _queries(server), 10)
            assert time.monotonic() - began < 5  # a second on a machine that is not busy
        async with Client(server.url, mode=era) as client:
            assert not (await client.call_tool("query_sql", {"query": "SELECT COUNT(*) FROM points"})).is_error


def _queries(server: Served) -> list[str]:
    return [line for line in children(server.process.pid).values() if "sandbox.py" in line]


async def _leave_in_a_call(server: Served, era: str, index: int) -> None:
    """Begin a call that does not end, and close its connection without a word."""
    params: dict[str, Any] = {"name": "query_sql", "arguments": {**ENDLESS, "limit": index + 1}}
    headers = dict(HEADERS)
    async with httpx2.AsyncClient(timeout=60, base_url=server.url.removesuffix("/mcp")) as http:
        if era == "legacy":
            headers["Mcp-Session-Id"] = await _opened(http)
        else:
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            headers |= {
                "MCP-Protocol-Version": "2026-07-28",
                "Mcp-Method": "tools/call",
                "Mcp-Name": "query_sql",
            }
        async with anyio.create_task_group() as group:
            body = call("tools/call", params, index + 2)
            group.start_soon(partial(http.post, "/mcp", json=body, headers=headers))
            await anyio.to_thread.run_sync(until, lambda: bool(_queries(server)))
            group.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
async def test_forty_slow_queries_of_one_token_neither_refuse_nor_delay_other_tokens(
    sweep: Path, tmp_path: Path, era: str
) -> None:
    write_run(tmp_path / "small" / "run", {"lr": 1}, [{"step": i, "loss": 1.0 / (i + 1)} for i in range(200)])
    tokens = f"greedy {GREEDY} '{tmp_path / 'small'}'\nmodest {MODEST} '{sweep}'\n"
    (tmp_path / "tokens").write_text(tokens, encoding="utf-8")
    options = ("--root", str(tmp_path / "small"), "--token-file", str(tmp_path / "tokens"))
    with serving(sweep, tmp_path / "log", *options, more={"ANALYSIS_QUERY_SECONDS": "600"}) as server:
        async with (
            bearing(server.url, GREEDY, era) as greedy,
            bearing(server.url, MODEST, era) as modest,
            anyio.create_task_group() as group,
        ):
            refused: list[str] = []

            async def ask(index: int) -> None:
                result = await greedy.call_tool("query_sql", {**ENDLESS, "limit": index + 1})
                refused.append(text_of(result))

            for index in range(40):
                group.start_soon(ask, index)
            with anyio.fail_after(30):
                while not refused:
                    await anyio.sleep(0.05)
            assert "of yours are running or waiting" in refused[0]
            with anyio.fail_after(60):
                counted = data_of(await modest.call_tool("query_sql", {"query": "SELECT COUNT(*) AS n FROM points"}))
            assert counted["rows"]
            group.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
async def test_a_grant_that_leaves_a_query_waits_itself_for_the_process_that_replaces_the_killed_one(
    sweep: Path, tmp_path: Path, era: str
) -> None:
    (tmp_path / "tokens").write_text(f"greedy {GREEDY}\n", encoding="utf-8")
    options = ("--token-file", str(tmp_path / "tokens"))
    with serving(sweep, tmp_path / "log", *options, more={"ANALYSIS_QUERY_SECONDS": "600"}) as server:
        async with bearing(server.url, GREEDY, era) as client:
            await client.call_tool("query_sql", {"query": "SELECT COUNT(*) FROM points"})
            before = set(_query_processes(server))
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "query_sql", ENDLESS)
                await anyio.to_thread.run_sync(until, lambda: bool(at_a_query(server.process.pid)))
                (left,) = at_a_query(server.process.pid)
                group.cancel_scope.cancel()
            await anyio.to_thread.run_sync(until, lambda: left not in _query_processes(server))
            await anyio.to_thread.run_sync(until, lambda: bool(set(_query_processes(server)) - before))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
async def test_queries_run_at_a_lower_priority_than_the_server(sweep: Path, tmp_path: Path) -> None:
    with serving(sweep, tmp_path / "log") as server:
        async with Client(server.url) as client:
            await client.call_tool("query_sql", {"query": "SELECT COUNT(*) FROM points"})
            niceness = {os.getpriority(os.PRIO_PROCESS, pid) for pid in _query_processes(server)}
            assert min(niceness) >= min(19, os.getpriority(os.PRIO_PROCESS, server.process.pid) + 10)


def _query_processes(server: Served) -> list[int]:
    return [pid for pid, line in children(server.process.pid).items() if "sandbox.py" in line]


async def test_a_client_that_leaves_in_the_middle_of_its_request_leaves_no_traceback_in_the_log(
    sweep: Path, tmp_path: Path, era: str
) -> None:
    with serving(sweep, tmp_path / "log") as server:
        line = "Mcp-Protocol-Version: 2026-07-28"
        if era == "legacy":
            async with httpx2.AsyncClient(base_url=server.url.removesuffix("/mcp")) as http:
                line = f"Mcp-Session-Id: {await _opened(http)}"
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{line}\r\n"
            "Accept: application/json, text/event-stream\r\nContent-Length: 1000\r\n\r\n{"
        )
        for _ in range(3):
            stream = await anyio.connect_tcp("127.0.0.1", server.port)
            await stream.send(head.encode())
            await anyio.sleep(0.1)
            await stream.aclose()
        async with Client(server.url, mode=era) as client:
            await client.list_tools()
        assert [line for line in server.logged() if line["level"] == "error"] == []


async def test_a_session_that_ends_beside_its_other_requests_leaves_no_traceback_in_the_log(
    lab: Path, caplog: pytest.LogCaptureFixture
) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}
    async with web(lab, PUBLIC) as http:
        for _ in range(20):
            headers = {**HEADERS, "Mcp-Session-Id": await _opened(http)}
            async with anyio.create_task_group() as group:
                for index in range(6):
                    group.start_soon(partial(http.post, "/mcp", json=note, headers=headers))
                    group.start_soon(partial(http.post, "/mcp", json=call("ping", {}, index), headers=headers))
                    if index == 2:
                        group.start_soon(partial(http.delete, "/mcp", headers=headers))
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_cursor_of_another_grant_shows_no_data_of_that_grant(lab: Path, era: str) -> None:
    async with asking(lab, EVERYTHING, era) as client:
        first = data_of(await client.call_tool("list_runs", {"limit": 1}))
        assert first["next_cursor"]
    async with asking(lab, PUBLIC, era) as client:
        result = await client.call_tool("list_runs", {"limit": 1, "cursor": first["next_cursor"]})
        assert "secret" not in text_of(result) + json.dumps(result.structured_content or {})


@pytest.mark.parametrize(
    ("tool", "argument"), [("get_run", "run_id"), ("rank_runs", "metric"), ("query_metrics", "metrics")]
)
async def test_hidden_data_gives_the_same_error_as_missing_data(lab: Path, era: str, tool: str, argument: str) -> None:
    async with asking(lab, PUBLIC, era) as client:
        said: list[str] = []
        for name in ("secret_run0", "secret/acc", "sepret_run0", "sepret/acc"):
            value = [name] if argument == "metrics" else name
            said.append(text_of(await client.call_tool(tool, {argument: value})).replace("sepret", "secret"))
        assert said[:2] == said[2:]


async def test_completions_offer_the_same_for_a_run_of_another_grant_as_for_one_that_does_not_exist(
    lab: Path, era: str
) -> None:
    from mcp.types import ResourceTemplateReference

    uri = "experiments://runs/{run_id}/metrics/{metric}{?max_points}"
    async with asking(lab, PUBLIC, era) as client:
        offered = [
            await client.complete(
                ResourceTemplateReference(type="ref/resource", uri=uri),
                {"name": "metric", "value": ""},
                context_arguments={"run_id": run},
            )
            for run in ("secret_run0", "no_such_run")
        ]
    assert offered[0].completion == offered[1].completion
    assert "secret/acc" not in offered[0].completion.values


async def test_a_session_of_another_grant_is_not_there(lab: Path) -> None:
    async with web(lab, EVERYTHING) as http:
        session = await _opened(http)
        for method in ("POST", "DELETE"):
            headers = {**HEADERS, "Authorization": f"Bearer {PUBLIC}", "Mcp-Session-Id": session}
            answer = await http.request(method, "/mcp", json=call("ping", {}), headers=headers)
            assert answer.status_code == 404
        assert await _pinged(http, session) == 200
