"""A server whose points a Spark cluster scans (Sail here): the same answers over the protocol, also from its worker processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mcp import Client
from support.doors import data_of
from support.engines import sail, same_values
from support.serving import served

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.engines.address import parse_address
from sweeplens.engines.spark_progress import note_stages
from sweeplens.engines.spark_session import SparkConnection
from sweeplens.engines.spark_types import SparkFrame, SparkSession
from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import protected_app
from sweeplens_mcp.protocol.app import build_server
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


class InStages(ExperimentDB):
    """A database whose list of metrics runs a job of a real server, which is told of its stages as Spark tells them."""

    def list_metrics(self, *arguments: Any, **options: Any) -> Any:
        """Runs the job first."""

        def plan(session: SparkSession) -> SparkFrame:
            kind = pytest.importorskip("pyspark.sql.connect.shell.progress").StageInfo
            begun, waiting = kind(0, 8, 3, 100, done=False), kind(1, 4, 0, 0, done=False)

            class Slow:
                """The client's frame; its rows come after a while."""

                def toArrow(self) -> Any:  # noqa: N802
                    note_stages(stages=[begun, waiting], inflight_tasks=2, operation_id="x", done=False)
                    time.sleep(1.3)
                    return session.sql("SELECT 1 AS one").toArrow()

            return Slow()  # type: ignore[return-value]

        found = SparkConnection(parse_address(sail())).collected(plan, None)
        assert found.equals(pl.DataFrame({"one": [1]}, schema=found.schema))
        return super().list_metrics(*arguments, **options)


async def test_a_call_reports_the_stages_of_its_job_on_a_cluster(sweep: Path, era: str) -> None:
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    database = InStages(AnalysisConfig(), sweep)
    async with Client(build_server(database), mode=era) as client:
        assert data_of(await client.call_tool("list_metrics", {}, progress_callback=hear))["rows"]
    assert any("stage 1 of 2, 3 of 12 tasks" in message for message in heard), heard
