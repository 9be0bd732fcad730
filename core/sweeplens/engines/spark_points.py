"""`SparkPoints`: points that a Spark cluster scans, and `SparkEngine`, which makes them from the files of one snapshot.

The cluster reads exactly the Parquet files that the snapshot names, so a call sees one version, whatever is written meanwhile.
Points that are not written yet are sent along. Every selection is kept twice, for the cluster and for this machine: a cluster
that does not answer costs a warning, not the answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import cache, partial

import polars as pl
from msgspec import Struct

from sweeplens.engines import spark_steps as steps
from sweeplens.engines.address import parse_address
from sweeplens.engines.polars_points import PolarsPoints
from sweeplens.engines.protocol import PointSource, StoredPoints
from sweeplens.engines.reductions import PointReduction
from sweeplens.engines.spark_reductions import bucketed, spark_grouped, spark_reduced
from sweeplens.engines.spark_session import ClusterUnreachableError, Plan, SparkConnection
from sweeplens.errors import EngineError

__all__ = ["MOST_UNWRITTEN", "SparkEngine", "SparkPoints", "connection_to", "engine_at"]

MOST_UNWRITTEN = 1_000_000
_PATTERN = re.compile(r"[*?\[\]{}\\]")  # Spark would look for other files


class SparkEngine:
    """The engine of a cluster, for one database. In another process it becomes an engine of the same address."""

    def __init__(self, connection: SparkConnection) -> None:
        self._connection = connection
        self._unreadable = ""

    def __reduce__(self) -> tuple[Callable[[str], SparkEngine], tuple[str]]:
        return engine_at, (self._connection.address.url,)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why this machine scanned the points itself; empty if the cluster did."""
        why = self._connection.why_down or self._unreadable
        return (f"{why}: this machine scanned the points itself",) if why else ()

    def described(self) -> str:
        """Returns the cluster's address and how soon it answers, or why it does not."""
        began = time.monotonic()
        try:
            self._connection.collected(lambda session: session.sql("SELECT 1 AS one"))
        except EngineError as error:
            return str(error)
        return f"{self._connection.address.shown}, answers in {time.monotonic() - began:.1f} s"

    def points(self, stored: StoredPoints, local: pl.LazyFrame) -> PointSource:
        """Returns the points of a snapshot on the cluster; on this machine if the cluster could not read them."""
        self._unreadable = _why_unreadable(stored)
        return (
            local if self._unreadable else SparkPoints(self, partial(steps.scanned_files, stored), PolarsPoints(local))
        )

    def answer(self, plan: Plan, local: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Returns the rows of a plan; those of ``local`` while the cluster does not answer."""
        try:
            return self._connection.collected(plan)
        except ClusterUnreachableError as why:
            try:
                return local()
            except (OSError, pl.exceptions.PolarsError) as error:
                raise EngineError(f"{why}, and this machine cannot read the store: {error}") from error


def engine_at(url: str) -> SparkEngine:
    """Returns an engine of this address. No connection is made before the first job."""
    return SparkEngine(connection_to(url))


@cache
def connection_to(url: str) -> SparkConnection:
    """Returns the connection to an address; there is one in a process."""
    return SparkConnection(parse_address(url))


class SparkPoints(Struct, frozen=True, eq=False):
    """`Points` on a cluster. ``order``: seq as logged, or step where only the last write of each step is left."""

    engine: SparkEngine
    plan: Plan
    local: PolarsPoints
    order: str = "seq"

    def select(
        self, *, runs: Sequence[str] | None = None, metrics: Sequence[str] | None = None, step_min: int | None = None,
        step_max: int | None = None,
    ) -> SparkPoints:  # fmt: skip
        """Filters by values; long lists of names are joined."""
        local = self.local.select(runs=runs, metrics=metrics, step_min=step_min, step_max=step_max)
        bounds = [f"step >= {step_min:d}"] if step_min is not None else []
        bounds += [f"step <= {step_max:d}"] if step_max is not None else []
        bounded = self._then(partial(steps.filtered, bounds), local)
        return bounded._then(partial(steps.selected, runs, metrics), local)

    def of_series(self, keys: pl.DataFrame) -> SparkPoints:
        """Keeps the points of these series."""
        return self._then(partial(steps.of_series, keys), self.local.of_series(keys))

    def finite(self) -> SparkPoints:
        """Keeps finite values."""
        return self._then(steps.finite, self.local.finite())

    def standing(self, rewound: pl.DataFrame) -> SparkPoints:
        """Keeps the last write of each step; only series that rewound are sorted."""
        step = partial(steps.standing, rewound) if rewound.height else steps.unchanged
        return self._then(step, self.local.standing(rewound), "step")

    def last_writes(self) -> SparkPoints:
        """Keeps the last write of each step of each run."""
        return self._then(partial(steps.last_writes, "run_id, step"), self.local.last_writes(), "step")

    def on_step(self) -> SparkPoints:
        """Adds the step as x."""
        return self._then(steps.on_step, self.local.on_step())

    def on_time(self, since: SparkPoints | None = None) -> SparkPoints:
        """Adds the time since the run began as x."""
        local = self.local.on_time(since.local if since else None)
        return self._then(partial(steps.on_time, since.plan if since else None), local)

    def on_metric(self, at: SparkPoints) -> SparkPoints:
        """Adds the value of another metric at the same step as x."""
        return self._then(partial(steps.on_metric, at.plan), self.local.on_metric(at.local))

    def with_times_of(self, others: SparkPoints) -> SparkPoints:
        """Fills in times from other points of the run at the same step."""
        return self._then(partial(steps.with_times_of, others.plan), self.local.with_times_of(others.local))

    def within(self, x_min: float | None, x_max: float | None) -> SparkPoints:
        """Filters by x."""
        bounds = [f"x >= double('{float(x_min)!r}')"] if x_min is not None else []
        bounds += [f"x <= double('{float(x_max)!r}')"] if x_max is not None else []
        return self._then(partial(steps.filtered, bounds), self.local.within(x_min, x_max))

    def held(self, columns: Sequence[str]) -> SparkPoints:
        """Returns the same points: each reduction reads them on the cluster."""
        return self

    def reduce(self, how: PointReduction) -> pl.DataFrame:
        """Computes a reduction on the cluster."""
        return self.engine.answer(lambda s: spark_reduced(s, self.plan(s), how), lambda: self.local.reduce(how))

    def reduce_by_group(self, how: PointReduction, groups: pl.DataFrame) -> pl.DataFrame:
        """Computes the statistics of a reduction over groups of runs on the cluster; no row a run is fetched."""
        return self.engine.answer(
            lambda s: spark_grouped(s, self.plan(s), how, groups), lambda: self.local.reduce_by_group(how, groups)
        )

    def bucket(self, curves: pl.DataFrame) -> pl.DataFrame:
        """Computes one row for each curve and interval on the cluster."""
        return self.engine.answer(lambda s: bucketed(s, self.plan(s), curves), lambda: self.local.bucket(curves))

    def fetch(
        self, columns: Sequence[str], *, needed: pl.DataFrame | None = None, sparing: bool = False
    ) -> pl.DataFrame:
        """Fetches points, sorted as in a file: by metric, run and position. Raises LimitError if they are too many."""
        chosen = self if needed is None else self.of_series(needed)
        sent = ["time" if c == "wall_time" else c for c in columns]
        order = ["metric", "run_id", self.order, "step"]
        return self.engine.answer(
            lambda s: chosen.plan(s).select(*sent), lambda: self.local.fetch(columns, sparing=sparing)
        ).pipe(_as_points, columns, order)

    def _then(self, step: steps.Step, local: PolarsPoints, order: str = "") -> SparkPoints:
        """Returns these points after one more step of the plan."""
        return SparkPoints(self.engine, partial(steps.chained, self.plan, step), local, order or self.order)


def _why_unreadable(stored: StoredPoints) -> str:
    """Returns why a cluster cannot read these points; empty if it can."""
    unwritten = sum(f.height for f in stored.frames)
    if unwritten > MOST_UNWRITTEN:
        return f"{unwritten:,} points are not in the store, so the cluster cannot read them"
    odd = next((p for files in stored.files for p in files.paths if _PATTERN.search(p)), "")
    return f"Spark takes the store's path {odd!r} for a pattern" if odd else ""


def _as_points(frame: pl.DataFrame, columns: Sequence[str], order: Sequence[str]) -> pl.DataFrame:
    """Returns fetched columns with the types of points, in a fixed order."""
    if "time" in frame.columns:
        frame = frame.with_columns(pl.from_epoch("time", "us").dt.replace_time_zone("UTC").alias("wall_time")).drop(
            "time"
        )
    if "seq" in frame.columns:
        frame = frame.with_columns(pl.col("seq").cast(pl.UInt32))
    return frame.select(columns).sort([c for c in order if c in columns], maintain_order=True)
