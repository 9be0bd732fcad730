"""Logs that executors read: the store is that of a local ingest, also while an executor or a worker is killed."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal
from tests.cluster.same_answers import folders
from tests.cluster.spark import SparkCluster

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.cancellation import StoppedError, cancellable
from sweeplens.store import backend_for
from sweeplens.store.backends.local import LocalBackend
from sweeplens.store.head import read_head

__all__ = [
    "a_cancelled_ingest_changes_nothing",
    "a_killed_executor_doubles_no_point",
    "executors_read_what_this_machine_reads",
]

_RUNS = 12
_ORDER = ["run_id", "metric", "seq"]


def executors_read_what_this_machine_reads(cluster: SparkCluster, home: Path, sets: int = 6) -> str:
    """Raises AssertionError with what differs. ``sets``: of logs, the demo first."""
    read = 0
    for folder in islice(folders(home), sets):
        here, there = _local(folder, home / "here"), _on_cluster(cluster, folder, home / "there")
        _assert_same(here, there)
        read += here.series_df["n_logged"].sum()
    return (
        f"{read:,} points of the demo and {sets - 1} more sets: runs, series, points and problems as of a local ingest"
    )


def a_killed_executor_doubles_no_point(cluster: SparkCluster, home: Path, rows: int) -> str:
    """kill -9 of an executor, then of a worker with its executor, in the middle of an ingest each."""
    logs = home / "logs"
    points = _write_logs(logs, rows)
    here = _local(logs, home / "here")
    told: list[str] = []
    for name, kill in (("executor", cluster.kill_executor), ("worker", lambda: cluster.kill_worker("worker-1"))):
        cache = home / name
        killed = _killed_when_two_files_are_written(backend_for(cache, [logs]) / "points", kill)
        began = time.monotonic()
        there = _on_cluster(cluster, logs, cache)
        assert killed.wait(0), f"the ingest ended before the {name} was killed"
        _assert_same(here, there)
        _assert_nothing_left(backend_for(cache, [logs]))
        told.append(f"{name} after {time.monotonic() - began:.0f} s")
        shutil.rmtree(cache)
    cluster.start_worker("worker-1")
    return f"{points:,} points equal, none doubled, no file left over ({', '.join(told)})"


def a_cancelled_ingest_changes_nothing(cluster: SparkCluster, home: Path, rows: int) -> str:
    """A call that is cancelled in the middle of an ingest ends soon, leaves no HEAD, and the next one reads everything."""
    logs, cache = home / "logs", home / "store"
    _write_logs(logs, rows)
    store = backend_for(cache, [logs])
    stopped: list[float] = []

    def stop() -> None:
        if stopped or len(list((store / "points").glob("*.parquet"))) >= 2:
            stopped.append(time.monotonic())
            raise StoppedError("the client left")

    try:
        with cancellable(stop):
            _on_cluster(cluster, logs, cache)
    except StoppedError:
        ended = time.monotonic() - stopped[0]
    assert ended < 5
    assert not (store / "HEAD").exists()
    _assert_same(_local(logs, home / "here"), _on_cluster(cluster, logs, cache))
    return f"the ingest ended {ended:.1f} s after the cancel and left the store as it was; the next one read everything"


def _local(folder: Path, cache: Path) -> ExperimentDB:
    database = ExperimentDB(AnalysisConfig(cache_dir=str(cache), engine="polars"), folder)
    database.load_experiments()
    return database


def _on_cluster(cluster: SparkCluster, folder: Path, cache: Path) -> ExperimentDB:
    """A database without a cluster, over the store that executors filled."""
    ExperimentDB(AnalysisConfig(cache_dir=str(cache), engine=cluster.address), folder).load_on_cluster()
    return ExperimentDB(AnalysisConfig(cache_dir=str(cache), engine="polars"), folder)


def _assert_same(here: ExperimentDB, there: ExperimentDB) -> None:
    assert_frame_equal(here.runs_df, there.runs_df)
    assert_frame_equal(here.series_df, there.series_df)
    assert_frame_equal(*(d.lazy_query(raw=True).collect().sort(_ORDER) for d in (here, there)))
    assert_frame_equal(here.problems, there.problems)


def _assert_nothing_left(store: Path) -> None:
    """Every file of points is one that HEAD names, or one that it named before."""
    head = read_head(LocalBackend(store))
    assert head is not None
    known = {name.partition("/")[2] for name in (*head.files, *head.retired) if name.startswith("points/")}
    assert {p.name for p in (store / "points").glob("*.parquet")} <= known


def _write_logs(folder: Path, rows: int) -> int:
    """Writes runs of JSON lines with two metrics; returns the number of points."""
    each = rows // _RUNS // 2
    for run in range(_RUNS):
        path = folder / f"run{run:02d}" / "metrics.jsonl"
        path.parent.mkdir(parents=True)
        step = pl.int_range(each, eager=True)
        pl.DataFrame({"step": step, "loss": run + 1 / (1 + step), "acc": step / (run + each)}).write_ndjson(path)
    return each * _RUNS * 2


def _killed_when_two_files_are_written(folder: Path, kill: Callable[[], object]) -> threading.Event:
    """Kills as soon as executors have written two files; the event says that it was done."""
    done = threading.Event()

    def watch() -> None:
        until = time.monotonic() + 600
        while time.monotonic() < until:
            if len(list(folder.glob("*.parquet"))) >= 2:
                kill()
                done.set()
                return
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
    return done
