"""A large sweep from its logs to its answers: executors read it, and both engines answer the same, in Python and as tools."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import polars as pl
from support.engines import differences, same_values
from tests.cluster.same_answers import called
from tests.cluster.spark import SparkCluster

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.engines.spark_progress import reporting
from sweeplens.store import backend_for

__all__ = ["a_large_sweep_has_the_same_answers"]

RUNS = 200
QUESTIONS: dict[str, Callable[[ExperimentDB], Any]] = {
    "rank_runs by last_k:5": lambda d: d.rank("loss", goal="lower", reduce="last_k:5", by="run"),
    "summarize_by_hparams by auc": lambda d: d.summarize(["lr"], metrics=["loss", "acc"], reduce="auc"),
    "mean curves": lambda d: d.mean_curves(["loss"], max_points=20),
    "run_costs": lambda d: d.cost("loss", goal="lower", threshold=0.5),
    "curves of two runs": lambda d: d.curves(["acc"], runs=["run0007", "run0042"], max_points=10),
    "list_runs with first_below": lambda d: d.list_runs(columns=["loss.first_below(0.5)"]),
}
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("rank_runs", {"metric": "acc", "goal": "higher", "reduce": "auc"}),
    ("query_metrics", {"metrics": ["loss"], "runs": ["run000*"], "max_points": 5}),
    ("best_checkpoints", {"metric": "loss", "goal": "lower", "limit": 20}),
)


def a_large_sweep_has_the_same_answers(cluster: SparkCluster, home: Path, rows: int) -> str:
    """Writes logs, reads them on the executors, and asks both engines; raises AssertionError with what differs."""
    logs = home / "logs"
    points = _write_logs(logs, rows)
    config = AnalysisConfig(cache_dir=str(home / "store"), engine="polars")
    on_cluster = config.model_copy(update={"engine": cluster.address})
    began = time.monotonic()
    report = ExperimentDB(on_cluster, logs).load_on_cluster()
    read = time.monotonic() - began
    assert (report.n_runs, report.n_points, report.problems) == (RUNS, points, ())
    here, there = ExperimentDB(config, logs), ExperimentDB(on_cluster, logs)
    for database in (here, there):
        database.load_experiments()
    fixed, also = here.pinned(), there.pinned()
    stages: list[str] = []
    with reporting(lambda done, tasks, text: stages.append(text)):
        lines = [_asked(label, ask, fixed, also) for label, ask in QUESTIONS.items()]
    assert any(cluster.address in told for told in stages), "the cluster was asked nothing"
    for tool, arguments in CALLS:
        one, other = anyio.run(_both, logs, config, on_cluster, tool, arguments)
        assert same_values(one, other), f"{tool} {arguments} says {one} and {other}"[:2000]
    files = len(list((backend_for(home / "store", [logs]) / "points").glob("*.parquet")))
    print("\n".join(["| question | Polars | Spark | ratio |", "|---|---|---|---|", *lines]), flush=True)
    asked = f"{len(QUESTIONS)} questions and {len(CALLS)} calls of tools equal to 1e-9"
    return f"{points:,} points read by executors in {read:.0f} s into {files} files; {asked}"


def _asked(label: str, ask: Callable[[ExperimentDB], Any], here: ExperimentDB, there: ExperimentDB) -> str:
    """Asks both engines once more than the comparison does; returns a line of a table of times."""
    told = differences(ask, here, there)
    assert not told, f"{label}: {told[:3]}"
    seconds: list[float] = []
    for database, uses_cluster in ((here, False), (there, True)):
        stages: list[str] = []
        began = time.perf_counter()
        with reporting(lambda done, tasks, text, into=stages: into.append(text)):
            ask(database)
        seconds.append(time.perf_counter() - began)
        assert uses_cluster or not stages, f"{label}: this machine asked the cluster, {stages[0]}"
    return f"| {label} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | {seconds[1] / seconds[0]:.1f} |"


async def _both(
    folder: Path, here: AnalysisConfig, there: AnalysisConfig, tool: str, given: dict[str, Any]
) -> list[Any]:
    return [await called(folder, config, tool, given) for config in (here, there)]


def _write_logs(folder: Path, rows: int) -> int:
    """Writes runs of JSON lines with two metrics and one hyperparameter; returns the number of points."""
    each = rows // RUNS // 2
    step = pl.int_range(each, eager=True)
    for run in range(RUNS):
        path = folder / f"run{run:04d}" / "metrics.jsonl"
        path.parent.mkdir(parents=True)
        path.with_name("config.json").write_text(json.dumps({"lr": 0.1 / (1 + run % 4), "seed": run // 4}))
        loss = 1 / (1 + step / (50 + run)) + run / 1000 + (step % 7) / 700
        pl.DataFrame({"step": step, "loss": loss, "acc": 1 - loss / (2 + run % 4)}).write_ndjson(path)
    return each * RUNS * 2
