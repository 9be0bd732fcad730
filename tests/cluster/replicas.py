"""Two replicas of the server over one store on an object store, behind a proxy: no wrong answer, pages of one answer from both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from support.buckets import Server as Bucket
from support.doors import data_of
from support.engines import same_values
from tests.cluster.proxy import RoundRobin, proxied
from tests.soak.support import RUNS, serving, write_runs

__all__ = ["a_thousand_calls_through_a_proxy"]

_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("overview", {}), ("list_metrics", {}), ("get_run", {"run_id": "run0007"}), ("find_varying_hparams", {}),
    ("rank_runs", {"metric": "val/acc", "reduce": "last_k:3"}), ("summarize_by_hparams", {"hparams": ["lr"]}),
    ("query_metrics", {"metrics": ["loss"], "runs": ["run000*"], "max_points": 5}),
    ("compare_runs", {"hparam": "lr", "metrics": ["val/acc"]}), ("best_checkpoints", {"metric": "val/acc", "limit": 20}),
    ("query_sql", {"query": "SELECT run_id, max(value) AS m FROM points WHERE metric = 'loss' GROUP BY run_id ORDER BY 1 LIMIT 9"}),
)  # fmt: skip
_IN_FLIGHT = 4


def a_thousand_calls_through_a_proxy(home: Path, calls: int) -> str:
    """Calls in both eras of the protocol, and pages; raises AssertionError with the first wrong answer."""
    root = write_runs(home / "runs")
    bucket = Bucket(home)
    bucket.begin()
    try:
        given = {**bucket.environment, "ANALYSIS_CACHE_DIR": f"s3://{bucket.bucket}/store", "ANALYSIS_CACHE": "disk"}
        one, other = (serving(root, "--stateless", **given) for _ in range(2))
        with one as first, other as second, proxied([first.url, second.url]) as (url, balancer):
            anyio.run(_ask, url, first.url, calls)
            pages = anyio.run(_pages, url, first.url, balancer)
        stored = sum(1 for method, path, _ in bucket.asked() if method == "PUT" and "/HEAD" in path)
    finally:
        bucket.end()
    assert stored, "the replicas did not share a store"
    share = ", ".join(str(n) for n in balancer.answered.values())
    return f"{calls} calls, 0 wrong; requests to each replica: {share}; {pages} pages of one answer from both; HEAD put {stored}x"


async def _ask(url: str, one: str, calls: int) -> None:
    """Each answer through the proxy equals that of one replica asked alone."""
    async with Client(one) as alone:
        right = [_plain(await alone.call_tool(tool, arguments)) for tool, arguments in _CALLS]
    done = 0

    async def client(mode: str, n: int) -> None:
        nonlocal done
        async with Client(url, mode=mode) as asked:
            for call in range(n):
                which = (call * 7 + n) % len(_CALLS)
                tool, arguments = _CALLS[which]
                found = _plain(await asked.call_tool(tool, arguments))
                assert same_values(found, right[which]), f"{tool} {arguments}: {found} instead of {right[which]}"[:2000]
                done += 1

    async with anyio.create_task_group() as group:
        for place in range(_IN_FLIGHT):
            group.start_soon(client, ("auto", "legacy")[place % 2], calls // _IN_FLIGHT)
    assert done == calls // _IN_FLIGHT * _IN_FLIGHT


def _plain(result: Any) -> dict[str, Any]:
    """The structured content without the warnings, which may name the age of a replica's view."""
    data = data_of(result)
    return {**data, "basis": {k: v for k, v in data["basis"].items() if k != "warnings"}}


async def _pages(url: str, one: str, balancer: RoundRobin) -> int:
    """All pages of one answer, each request on the next replica; returns how many there were."""
    alone, _ = await _paged(one)
    before = dict(balancer.answered)
    rows, pages = await _paged(url)
    assert rows == alone, "a row came twice, is missing or differs"
    assert len({row[0] for row in rows}) == len(rows) == RUNS
    assert all(balancer.answered[r] > before[r] + 2 for r in balancer.replicas), "one replica answered all pages"
    return pages


async def _paged(url: str) -> tuple[list[list[Any]], int]:
    rows: list[list[Any]] = []
    cursor, pages = "", 0
    async with Client(url, mode="legacy") as client:
        while cursor or not pages:
            page = data_of(await client.call_tool("list_runs", {"limit": 12, "cursor": cursor}))
            rows, cursor, pages = [*rows, *page["rows"]], page["next_cursor"], pages + 1
    return rows, pages
