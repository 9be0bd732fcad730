"""What goes wrong on a cluster: executors and workers that are killed, a server that hangs, a call that is cancelled."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
from tests.cluster.spark import SparkCluster

from sweeplens.cancellation import StoppedError, cancellable
from sweeplens.engines.address import parse_address
from sweeplens.engines.polars_points import PolarsPoints
from sweeplens.engines.protocol import PointFiles, Points, StoredPoints
from sweeplens.engines.reductions import Fluctuation, LastK, PointReduction
from sweeplens.engines.spark_points import SparkEngine
from sweeplens.engines.spark_progress import reporting
from sweeplens.engines.spark_session import SparkConnection
from sweeplens.frames.points import select_points, standing

__all__ = [
    "a_cancelled_call_frees_the_cluster",
    "a_killed_executor_changes_no_answer",
    "a_silent_cluster_costs_a_warning",
]

RUNS, METRICS = 2_000, 2


class Sweep:
    """Points in files, as a store holds them, on the cluster and on this machine; a hundredth of the series rewound."""

    def __init__(self, cluster: SparkCluster, home: Path, rows: int) -> None:
        paths = _write(home, rows)
        self.engine = SparkEngine(SparkConnection(parse_address(cluster.address)))
        local = pl.scan_parquet(paths).with_columns(pl.col("seq").cast(pl.UInt32))
        held = self.engine.points(StoredPoints((PointFiles(tuple(map(str, paths))),)), local)
        again = pl.DataFrame({"run_id": [f"run{i:05d}" for i in range(0, RUNS, 100)], "metric": "m0"})
        self.there: Points = standing(select_points(held), again)
        self.here: Points = standing(PolarsPoints(local), again)

    def differ(self, how: PointReduction) -> str:
        """How the answers differ; empty if they do not. A doubled or a lost point would change the result."""
        one, other = (p.reduce(how).sort("run_id", "metric") for p in (self.here, self.there))
        if self.engine.warnings:
            return f"the cluster was left: {self.engine.warnings}"
        far = (pl.col(one.columns[-1]) - pl.col("other")).abs().max()
        both = one.join(other.rename({one.columns[-1]: "other"}), on=["run_id", "metric"])
        worst = float(both.select(far).item())
        return (
            "" if both.height == one.height == other.height and worst < 1e-9 else f"{both.height} rows, {worst:g} apart"
        )


def _write(home: Path, rows: int) -> list[Path]:
    each = rows // (RUNS * METRICS)
    paths: list[Path] = []
    for part in range(4):
        runs = range(part * RUNS // 4, (part + 1) * RUNS // 4)
        frames = [_of_metric(metric, runs, each) for metric in range(METRICS)]
        paths.append(home / f"points-{part}.parquet")
        pl.concat(frames).write_parquet(paths[-1], row_group_size=65_536)
    return paths


def _of_metric(metric: int, runs: range, each: int) -> pl.DataFrame:
    rng = np.random.default_rng([metric, runs.start])
    steps = np.tile(np.arange(each, dtype=np.int64), (len(runs), 1))
    if metric == 0:
        steps[::100, -5:] -= 5  # five steps of a hundredth of the runs are logged twice
    names = [f"run{i:05d}" for i in runs]
    return pl.DataFrame(
        {
            "run_id": np.repeat(np.array(names, dtype=object), each), "metric": f"m{metric}",
            "step": steps.ravel(), "value": rng.normal(size=each * len(names)),
            "wall_time": None, "seq": np.tile(np.arange(each, dtype=np.int32), len(names)),
        }, schema_overrides={"wall_time": pl.Datetime("us", "UTC"), "run_id": pl.String},
    )  # fmt: skip


def a_killed_executor_changes_no_answer(cluster: SparkCluster, home: Path, rows: int) -> str:
    """kill -9 of an executor, then of a worker with its executor, in the middle of a query each."""
    sweep = Sweep(cluster, home, rows)
    assert not (told := sweep.differ(LastK(7))), told
    began = time.monotonic()
    stages: list[str] = []
    with reporting(lambda done, tasks, text: stages.append(f"{text}, {done} of {tasks} tasks")):
        sweep.there.reduce(Fluctuation())
    usual = time.monotonic() - began
    assert any(": stage " in told for told in stages), f"no stage was reported: {stages}"
    killed: list[str] = []
    for kill in (cluster.kill_executor, lambda: cluster.kill_worker("worker-1")):
        timer = threading.Timer(usual / 2, lambda k=kill: killed.append(str(k())))
        timer.start()
        assert not (told := sweep.differ(Fluctuation())), told
        timer.join()
    assert len(killed) == 2
    cluster.start_worker("worker-1")
    return (
        f"{rows:,} points, an executor and a worker killed {usual / 2:.1f} s into a query: equal to 1e-9; {stages[-1]}"
    )


def a_cancelled_call_frees_the_cluster(cluster: SparkCluster, home: Path, rows: int) -> str:
    """A cancelled call ends within two seconds, and its job no longer holds the executors."""
    del home, rows
    connection = SparkConnection(parse_address(cluster.address))
    connection.collected(lambda s: s.sql("SELECT 1 AS one"))
    began = time.monotonic()

    def stop() -> None:
        if time.monotonic() - began > 3:
            raise StoppedError("the client left")

    endless = "SELECT sum((a.id * b.id) % 7) AS n FROM range(10000000) a CROSS JOIN range(10000000) b"
    try:
        with cancellable(stop):
            connection.collected(lambda s: s.sql(endless))
    except StoppedError:
        ended = time.monotonic() - began - 3
    assert ended < 2
    again = time.monotonic()
    connection.collected(lambda s: s.sql("SELECT sum(id) AS n FROM range(0, 1000000, 1, 8)"))
    freed = time.monotonic() - again
    assert freed < 60, f"{freed:.0f} s for a small job after it"
    return f"the call ended after {ended:.2f} s; the executors took the next job within {freed:.1f} s"


def a_silent_cluster_costs_a_warning(cluster: SparkCluster, home: Path, rows: int) -> str:
    """The Connect server hangs: this machine answers, within 10 seconds and with a warning."""
    small = home / "small"
    small.mkdir()
    sweep = Sweep(cluster, small, min(rows, 200_000))
    cluster.hang()
    try:
        began = time.monotonic()
        found = sweep.there.reduce(LastK(3))
        seconds = time.monotonic() - began
    finally:
        cluster.go_on()
    assert found.height == RUNS * METRICS
    assert seconds < 10 + 2, f"{seconds:.1f} s"
    (warning,) = sweep.engine.warnings
    return f"{seconds:.1f} s, with the warning {warning!r}"
