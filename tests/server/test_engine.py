"""A server whose points a Spark cluster scans (Sail here): the same answers over the protocol, also from its worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from support.doors import data_of
from support.engines import sail, same_values
from support.serving import served

from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import protected_app
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("query_metrics", {"metrics": ["val/acc"], "x": "wall_time", "max_points": 4}),
    ("rank_runs", {"metric": "val/acc", "reduce": "last_k:3"}),
    ("compare_runs", {"a": "lr0.1*", "b": "lr0.01*", "metrics": ["val/acc"]}),
    ("diagnose_runs", {}),
    ("query_sql", {"query": "SELECT metric, count(*) AS n FROM points GROUP BY metric ORDER BY metric"}),
)


async def answers(sweep: Path, mode: str) -> list[dict[str, Any]]:
    """What a new server over HTTP says; heavy calls are answered by its worker processes."""
    with served(protected_app(Settings((str(sweep),)), HttpOptions())) as url:
        async with Client(url, mode=mode) as client:
            return [data_of(await client.call_tool(tool, arguments)) for tool, arguments in CALLS]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_server_says_the_same_with_and_without_a_cluster(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("ANALYSIS_CACHE_DIR", str(tmp_path))
    here = await answers(sweep, mode)
    monkeypatch.setenv("ANALYSIS_ENGINE", sail())
    there = await answers(sweep, mode)
    assert not any("this machine" in w for data in there for w in data["basis"]["warnings"])
    assert same_values(here, there)
