"""Every question that reads points has the same answer from Polars and from Spark: in Python, and as tools over the protocol."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import polars as pl
from mcp import Client
from mcp.types import CallToolResult
from support.doors import text_of
from support.engines import differences, questions, same_values
from tests.cluster.spark import SparkCluster

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.demo_data import write_sweep
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings

__all__ = ["called", "folders", "tools_say_the_same"]

CORPUS_SETS = ("hf_trainer", "lightning_csv", "tb_torch", "sb3", "wandb_offline")
OWN_SETS = ("cleanrl", "fms", "restarts", "lightning", "rlhf")  # where there is no corpus


def tools_say_the_same(cluster: SparkCluster, home: Path, sets: int = 6) -> str:
    """Asks everything of both engines; raises AssertionError with what differs. ``sets``: of logs, the demo first."""
    asked = 0
    for folder in islice(folders(home), sets):
        config = AnalysisConfig(cache_dir=str(home / "store"), engine="polars")
        here, there = (ExperimentDB(c, folder) for c in (config, config.model_copy(update={"engine": cluster.address})))
        for db in (here, there):
            db.load_experiments()
        fixed, also = here.pinned(), there.pinned()  # else a warning may name the age of one view
        found = {label: differences(ask, fixed, also) for label, ask in questions(here).items()}
        wrong = {label: told[:3] for label, told in found.items() if told}
        assert not wrong, f"{folder.name}: {wrong}"
        asked += len(found) + anyio.run(_over_the_protocol, folder, here.config, there.config)
    return f"{asked} answers over the demo and {sets - 1} more sets are equal to 1e-9"


def folders(home: Path) -> Iterator[Path]:
    """The demo, and five sets of logs."""
    demo = home / "demo"
    write_sweep(demo)
    yield demo
    corpus = os.environ.get("SWEEPLENS_CORPUS")
    logs = Path(__file__).parents[1] / "data" / "logs"
    yield from (Path(corpus, name) for name in CORPUS_SETS) if corpus else (logs / name for name in OWN_SETS)


async def _over_the_protocol(folder: Path, here: AnalysisConfig, there: AnalysisConfig) -> int:
    """Calls each tool that needs no name but a metric's on two servers; returns the number of calls."""
    calls = list(_calls(folder, here))
    for tool, arguments in calls:
        one, other = [await called(folder, config, tool, arguments) for config in (here, there)]
        assert same_values(one, other), f"{folder.name}: {tool} {arguments} says {one} and {other}"
    return len(calls)


def _calls(folder: Path, config: AnalysisConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    series = ExperimentDB(config, folder).series_df
    metric = series.group_by("metric").agg(pl.col("n").sum()).sort("n", "metric")["metric"][-1]
    yield "overview", {}
    yield "diagnose_runs", {}
    yield "query_metrics", {"metrics": [metric], "x": "wall_time"}
    yield "summarize_by_hparams", {"metrics": [metric], "reduce": "auc"}
    yield "rank_runs", {"metric": metric, "goal": "lower", "reduce": "last_k:3"}
    yield "run_costs", {"metric": metric, "goal": "lower"}
    yield "best_checkpoints", {"metric": metric, "goal": "lower"}
    yield "query_sql", {"query": "SELECT metric, count(*) AS n FROM points GROUP BY metric ORDER BY metric"}


async def called(folder: Path, config: AnalysisConfig, tool: str, arguments: dict[str, Any]) -> Any:
    """Calls one tool of a new server; returns its structured content, or the text of its error."""
    with _environment(ANALYSIS_CACHE_DIR=config.cache_dir, ANALYSIS_ENGINE=config.engine):
        async with Client(build_server(Settings((str(folder),)))) as client:
            result: CallToolResult = await client.call_tool(tool, arguments)
    return text_of(result) if result.is_error else result.structured_content


@contextmanager
def _environment(**values: str) -> Generator[None]:
    """Sets variables for a while: what stayed would be the engine of every later configuration that names none."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
