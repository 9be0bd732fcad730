"""``serve --http --stateless``: replicas over the same folders, each of which answers any request, in both eras of the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from support.doors import data_of
from support.serving import served

from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import protected_app
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio

CALL = {
    "jsonrpc": "2.0", "id": 7, "method": "tools/call",
    "params": {"name": "list_metrics", "arguments": {"pattern": "val"}},
}  # fmt: skip
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@pytest.fixture
def replicas(sweep: Path) -> Iterator[list[str]]:
    """Two servers that share nothing but the folders and the store."""
    settings = Settings((str(sweep),))
    one, other = (protected_app(settings, HttpOptions(stateless=True)) for _ in range(2))
    with served(one) as first, served(other) as second:
        yield [first, second]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_pages_of_one_answer_come_from_both_replicas(replicas: list[str], mode: str) -> None:
    rows: list[list[object]] = []
    cursor, turn = "", 0
    while cursor or not turn:
        async with Client(replicas[turn % 2], mode=mode) as client:
            page = data_of(await client.call_tool("list_runs", {"limit": 3, "cursor": cursor}))
        rows += page["rows"]
        cursor, turn = page["next_cursor"], turn + 1
    async with Client(replicas[0], mode=mode) as client:
        whole = data_of(await client.call_tool("list_runs", {}))
    assert turn > 2
    assert rows == whole["rows"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_cursor_of_news_is_known_to_the_other_replica(replicas: list[str], mode: str) -> None:
    async with Client(replicas[0], mode=mode) as client:
        first = data_of(await client.call_tool("whats_new", {}))
    async with Client(replicas[1], mode=mode) as client:
        after = data_of(await client.call_tool("whats_new", {"cursor": first["next_cursor"]}))
    assert after["rows"] == []


async def test_the_older_protocol_needs_no_session(replicas: list[str]) -> None:
    async with httpx2.AsyncClient(headers=HEADERS) as client:
        answers = [await client.post(url, json=CALL) for url in replicas]
    assert [a.status_code for a in answers] == [200, 200]
    assert not any("mcp-session-id" in a.headers for a in answers)
    assert answers[0].text.count("val/acc") == answers[1].text.count("val/acc") > 0
