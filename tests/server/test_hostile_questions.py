"""Questions that try to stop the server, take its memory or its time: each is refused or answered, and the next one too."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from support.doors import data_of, text_of
from support.processes import ENDLESS, at_a_query, until

from sweeplens import ExperimentDB
from sweeplens.errors import InputError
from sweeplens_mcp.execution.processes.pool import ProcessPool
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import TOOLS

pytestmark = pytest.mark.anyio
PATIENCE = 30  # seconds for a few questions, each of which takes milliseconds
DIGITS = "9" * 700
CONDITIONS = (
    "||".join(["'a'"] * 800) + " = 'a'",
    "||".join(["'a'"] * 800),
    "+".join(["1"] * 1500) + " = 1",
    "LPAD(run_id, 400000000, 'x') = 'x'",
    "(" * 30 + "seed BETWEEN 1 AND 2" + ") BETWEEN FALSE AND TRUE" * 30,
)
TAKES_CONDITION = [spec.name for spec in TOOLS if "where" in spec.function.__annotations__]


def asked(tool: str, where: str) -> dict[str, Any]:
    """Arguments of a tool with a condition."""
    needs = {"query_metrics": {"metrics": ["val/acc"]}, "rank_runs": {"metric": "val/acc"}}
    needs["hparam_effects"] = needs["rank_runs"]
    return {**needs.get(tool, {}), "where": where}


async def test_no_condition_stops_the_server_in_any_tool_that_takes_one(client: Client) -> None:
    assert len(TAKES_CONDITION) >= 8
    calls = [(tool, asked(tool, where)) for tool in TAKES_CONDITION for where in CONDITIONS]
    calls += [("compare_runs", {side: where, other: "*"}) for where in CONDITIONS for side, other in ("ab", "ba")]
    with anyio.fail_after(PATIENCE):
        for tool, arguments in calls:
            result = await client.call_tool(tool, arguments)
            assert result.is_error, (tool, arguments)
            assert len(text_of(result)) < 1500
        assert data_of(await client.call_tool("list_runs", {}))["rows"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("rank_runs", {"metric": "val/acc", "reduce": f"last_k:{DIGITS}"}),
        ("rank_runs", {"metric": "val/acc", "at_step": DIGITS}),
        ("rank_runs", {"metric": "val/acc", "at_step": str(1 << 63)}),
        ("rank_runs", {"metric": "val/acc", "reduce": "last_k:\u00b2"}),
        ("summarize_by_hparams", {"reduce": f"at_step={DIGITS}"}),
        ("compare_runs", {"a": "lr0.1*", "b": "lr0.01*", "reduce": f"at_step:{'9' * 5000}"}),
        ("hparam_effects", {"metric": "val/acc", "reduce": "last_k:1e9"}),
        ("query_metrics", {"metrics": ["(" * 500]}),
        ("query_metrics", {"metrics": ["((((a{1,99}){1,99}){1,99}){1,99}"]}),
        ("list_metrics", {"pattern": "[" * 20_000}),
        ("list_runs", {"runs": ["[" * 20_000]}),
        ("list_runs", {"sort": "-" * 20_000}),
        ("get_run", {"run_id": "x" * 20_000}),
    ],
)
async def test_huge_numbers_and_patterns_are_refused_in_a_sentence(
    client: Client, tool: str, arguments: dict[str, Any]
) -> None:
    with anyio.fail_after(PATIENCE):
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert len(text_of(result)) < 2000
    assert "PolarsError" not in text_of(result)
    assert "Traceback" not in text_of(result)


async def test_an_empty_answer_says_which_condition_emptied_it(client: Client) -> None:
    where = "status = 'done' AND seed >= 0"
    listed = await client.call_tool("list_runs", {"where": where})
    assert data_of(listed)["rows"] == []
    assert "status = 'done' holds for none of" in text_of(listed)
    ranked = await client.call_tool("rank_runs", {"metric": "val/acc", "where": where})
    assert ranked.is_error
    assert "Values of status: " in text_of(ranked)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process through /proc")
async def test_a_query_ends_within_a_second_after_its_client_gave_up(client: Client) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(client.call_tool, "query_sql", ENDLESS)
        await anyio.to_thread.run_sync(until, lambda: bool(at_a_query(os.getpid())))
        group.cancel_scope.cancel()
    began = time.monotonic()
    await anyio.to_thread.run_sync(until, lambda: not at_a_query(os.getpid()))
    assert (
        time.monotonic() - began < 5
    )  # within a second on a machine that is not busy; the query alone would go on for 30
    assert data_of(await client.call_tool("query_sql", {"query": "SELECT run_id FROM runs"}))["rows"]


@pytest.mark.skipif(sys.platform != "linux", reason="workers need POSIX")
def test_a_worker_process_refuses_the_same_questions_and_lives(sweep: Path) -> None:
    workers, database = ProcessPool(), ExperimentDB(base_path=sweep)
    rank = next(spec for spec in TOOLS if spec.name == "rank_runs")
    try:
        for arguments in ({"where": CONDITIONS[0]}, {"at_step": DIGITS}, {"reduce": f"last_k:{DIGITS}"}):
            with pytest.raises(InputError):
                workers.ask(rank, database, {"metric": "val/acc", **arguments})
        assert workers.ask(rank, database, {"metric": "val/acc", "where": "seed = 0 OR seed = 1"}).table.height
    finally:
        workers.close()


async def test_a_server_with_workers_answers_sql_too(sweep: Path, era: str) -> None:
    async with Client(build_server(Settings((str(sweep),)), workers=ProcessPool()), mode=era) as client:
        for query in ("SELECT count(*) AS n FROM points", "SELECT run_id FROM runs"):
            assert data_of(await client.call_tool("query_sql", {"query": query}))["rows"]
        deep = await client.call_tool("query_sql", {"query": "SELECT " + "+".join(["1"] * 6000) + " FROM runs"})
        assert deep.is_error
        assert "words and symbols" in text_of(deep)
