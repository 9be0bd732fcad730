"""Points scanned by Polars and by a Spark cluster: `python benchmarks/cluster.py [ROWS [TIMES]]`, by default 2,000,000 points.

Starts a standalone Spark with two workers as `make cluster` does, so it needs Java; elsewhere it says why it cannot run. Seconds of
the clock, medians of TIMES (three) after one warm call, over the same Parquet files. A ratio above 1 says that Spark is slower.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "tests"))
from tests.cluster.failures import RUNS, Sweep
from tests.cluster.spark import SparkCluster, missing, spark_cluster

from sweeplens.engines import reductions as r
from sweeplens.engines.protocol import Points

CURVES = pl.DataFrame(
    {"run_id": [f"run{i:05d}" for i in range(RUNS)], "metric": "m1", "curve": range(RUNS), "start": 0.0, "width": 50.0}
)
GROUPS = pl.DataFrame({"run_id": [f"run{i:05d}" for i in range(RUNS)], "group": [i % 20 for i in range(RUNS)]})
SOME = [f"run{i:05d}" for i in range(5)]
ASKED: dict[str, Callable[[Points], pl.DataFrame]] = {
    "mean of the last 10, each series": lambda p: p.reduce(r.LastK(10)),
    "area under each curve": lambda p: p.reduce(r.AreaUnderCurve()),
    "fluctuation of each curve": lambda p: p.reduce(r.Fluctuation()),
    "last value up to step 100": lambda p: p.reduce(r.AtStep(100)),
    "area under each curve, statistics of 20 groups of runs": lambda p: p.reduce_by_group(r.AreaUnderCurve(), GROUPS),
    "mean curves, intervals of 50 steps": lambda p: p.select(metrics=["m1"]).on_step().bucket(CURVES),
    "points of 5 runs, fetched": lambda p: p.select(runs=SOME).fetch(["run_id", "metric", "step", "value"]),
}


def main(rows: int = 2_000_000, times: int = 3) -> None:
    """Prints a table."""
    if why := missing(install=False):
        print(f"No cluster can be started here: {why}.")
        return
    with tempfile.TemporaryDirectory() as home, spark_cluster(Path(home, "spark")) as cluster:
        compare(cluster, Path(home), rows, times)


def compare(cluster: SparkCluster, home: Path, rows: int, times: int) -> None:
    """Asks both engines over the same files."""
    sweep = Sweep(cluster, home, rows)
    print(f"{rows:,} points of {RUNS:,} runs, a hundredth of which rewound in one of two metrics\n")
    print("| what | Polars | Spark | ratio |\n|---|---|---|---|")
    for what, ask in ASKED.items():
        here, there = _seconds(ask, sweep.here, times), _seconds(ask, sweep.there, times)
        print(f"| {what} | {here:.2f} s | {there:.2f} s | {there / here:.1f} |", flush=True)
    assert not sweep.engine.warnings, sweep.engine.warnings


def _seconds(ask: Callable[[Points], pl.DataFrame], points: Points, times: int) -> float:
    taken: list[float] = []
    for _ in range(times + 1):
        began = time.perf_counter()
        ask(points)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
