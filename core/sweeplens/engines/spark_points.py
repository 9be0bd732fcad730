"""`SparkPoints`: points that a Spark cluster scans, and `SparkEngine`, which makes them from the files of one snapshot.

The cluster reads exactly the Parquet files that the snapshot names, so a call sees one version, whatever is written meanwhile.
Points that are not written yet are sent along. Every selection is kept twice, for the cluster and for this machine: a cluster
that does not answer costs a warning, not the answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import reduce

import polars as pl
from msgspec import Struct

from sweeplens.engines.polars_points import PolarsPoints
from sweeplens.engines.protocol import KEY, PointFiles, PointSource, StoredPoints
from sweeplens.engines.reductions import PointReduction
from sweeplens.engines.spark_reductions import FINITE_VALUE, aggregated, bucketed, spark_reduced, table_of
from sweeplens.engines.spark_session import ClusterUnreachableError, Plan, SparkConnection
from sweeplens.engines.spark_types import SparkFrame, SparkSession, functions
from sweeplens.errors import EngineError

__all__ = ["MOST_LISTED", "MOST_UNWRITTEN", "RETRY_SECONDS", "SparkEngine", "SparkPoints"]

MOST_LISTED = 10_000
"""Names in a filter; more are sent as a table and joined."""
MOST_UNWRITTEN = 1_000_000
RETRY_SECONDS = 30.0
_COLUMNS = "run_id string, metric string, step bigint, value double, wall_time timestamp, seq int"
_POINTS = ("run_id", "metric", "step", "value", "unix_micros(wall_time) as time", "seq")
_PATTERN = re.compile(r"[*?\[\]{}\\]")  # Spark would look for other files

_SENT = {
    "run_id": pl.String(), "metric": pl.String(), "step": pl.Int64(), "value": pl.Float64(), "time": pl.Int64(),
    "seq": pl.Int32(),
}  # fmt: skip
"""The columns on the cluster: times are numbers, as no time zone can change those."""

Step = Callable[[SparkSession, SparkFrame], SparkFrame]


class SparkEngine:
    """The engine of a cluster, for one database."""

    def __init__(self, connection: SparkConnection) -> None:
        self._connection = connection
        self._down_until = float("-inf")
        self._why_down = ""
        self._unreadable = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why this machine scanned the points itself; empty if the cluster did."""
        why = self._why_down if time.monotonic() < self._down_until else self._unreadable
        return (f"{why}: this machine scanned the points itself",) if why else ()

    def points(self, stored: StoredPoints, local: pl.LazyFrame) -> PointSource:
        """Returns the points of a snapshot on the cluster; on this machine if the cluster could not read them."""
        self._unreadable = _why_unreadable(stored)
        return local if self._unreadable else SparkPoints(self, lambda s: _scan(s, stored), PolarsPoints(local))

    def answer(self, plan: Plan, local: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Returns the rows of a plan; those of ``local`` while the cluster does not answer."""
        if time.monotonic() < self._down_until:
            return self._by_itself(local)
        try:
            return self._connection.collected(plan)
        except ClusterUnreachableError as error:
            self._why_down, self._down_until = str(error), time.monotonic() + RETRY_SECONDS
            return self._by_itself(local)

    def _by_itself(self, local: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        try:
            return local()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise EngineError(f"{self._why_down}, and this machine cannot read the store: {error}") from error


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
        bounds = [f"step >= {step_min:d}"] if step_min is not None else []
        bounds += [f"step <= {step_max:d}"] if step_max is not None else []

        def step(session: SparkSession, frame: SparkFrame) -> SparkFrame:
            frame = reduce(lambda f, bound: f.filter(bound), bounds, frame)
            return _named(session, _named(session, frame, "run_id", runs), "metric", metrics)

        return self._then(step, self.local.select(runs=runs, metrics=metrics, step_min=step_min, step_max=step_max))

    def of_series(self, keys: pl.DataFrame) -> SparkPoints:
        """Keeps the points of these series."""
        return self._then(lambda s, f: f.join(_keys(s, keys), list(KEY), "left_semi"), self.local.of_series(keys))

    def finite(self) -> SparkPoints:
        """Keeps finite values."""
        return self._then(lambda s, f: f.filter(FINITE_VALUE), self.local.finite())

    def standing(self, rewound: pl.DataFrame) -> SparkPoints:
        """Keeps the last write of each step; only series that rewound are sorted."""

        def step(session: SparkSession, frame: SparkFrame) -> SparkFrame:
            keys = _keys(session, rewound)
            again = _last_writes(frame.join(keys, list(KEY), "left_semi"), "run_id, metric, step")
            return frame.join(keys, list(KEY), "left_anti").unionByName(again)

        return self._then(step if rewound.height else _same, self.local.standing(rewound), "step")

    def last_writes(self) -> SparkPoints:
        """Keeps the last write of each step of each run."""
        return self._then(lambda s, f: _last_writes(f, "run_id, step"), self.local.last_writes(), "step")

    def on_step(self) -> SparkPoints:
        """Adds the step as x."""
        return self._then(lambda s, f: f.selectExpr("*", "double(step) as x"), self.local.on_step())

    def on_time(self, since: SparkPoints | None = None) -> SparkPoints:
        """Adds the time since the run began as x."""

        def step(session: SparkSession, frame: SparkFrame) -> SparkFrame:
            timed = frame.filter("time is not null")
            first = timed if since is None else since.plan(session).filter("time is not null")
            began = aggregated(first, ["run_id"], "min(time) as began")
            placed = timed.join(began, ["run_id"])
            return placed.selectExpr(*_SENT, "(time - began) / 1000000D as x")

        return self._then(step, self.local.on_time(since.local if since else None))

    def on_metric(self, at: SparkPoints) -> SparkPoints:
        """Adds the value of another metric at the same step as x."""

        def step(session: SparkSession, frame: SparkFrame) -> SparkFrame:
            other = at.plan(session).selectExpr("run_id", "step", "value as x")
            return frame.join(other, ["run_id", "step"])

        return self._then(step, self.local.on_metric(at.local))

    def with_times_of(self, others: SparkPoints) -> SparkPoints:
        """Fills in times from other points of the run at the same step."""

        def step(session: SparkSession, frame: SparkFrame) -> SparkFrame:
            timed = others.plan(session).filter("time is not null")
            times = aggregated(timed, ["run_id", "step"], "max_by(time, struct(metric, seq)) as other")
            joined = frame.join(times, ["run_id", "step"], "left")
            return joined.selectExpr("run_id", "metric", "step", "value", "coalesce(time, other) as time", "seq")

        return self._then(step, self.local.with_times_of(others.local))

    def within(self, x_min: float | None, x_max: float | None) -> SparkPoints:
        """Filters by x."""
        bounds = [f"x >= double('{float(x_min)!r}')"] if x_min is not None else []
        bounds += [f"x <= double('{float(x_max)!r}')"] if x_max is not None else []

        def step(session: SparkSession, frame: SparkFrame) -> SparkFrame:
            return reduce(lambda f, bound: f.filter(bound), bounds, frame)

        return self._then(step, self.local.within(x_min, x_max))

    def held(self, columns: Sequence[str]) -> SparkPoints:
        """Returns the same points: each reduction reads them on the cluster."""
        return self

    def reduce(self, how: PointReduction) -> pl.DataFrame:
        """Computes a reduction on the cluster."""
        return self.engine.answer(lambda s: spark_reduced(s, self.plan(s), how), lambda: self.local.reduce(how))

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

    def _then(self, step: Step, local: PolarsPoints, order: str = "") -> SparkPoints:
        """Returns these points after one more step of the plan."""
        return SparkPoints(self.engine, lambda s: step(s, self.plan(s)), local, order or self.order)


def _why_unreadable(stored: StoredPoints) -> str:
    """Returns why a cluster cannot read these points; empty if it can."""
    unwritten = sum(f.height for f in stored.frames)
    if unwritten > MOST_UNWRITTEN:
        return f"{unwritten:,} points are not in the store, so the cluster cannot read them"
    odd = next((p for files in stored.files for p in files.paths if _PATTERN.search(p)), "")
    return f"Spark takes the store's path {odd!r} for a pattern" if odd else ""


def _scan(session: SparkSession, stored: StoredPoints) -> SparkFrame:
    """Returns all points of a snapshot: of its files, and those that are not written yet."""
    parts = [_read(session, files) for files in stored.files]
    if stored.frames or not parts:
        unwritten = pl.concat([pl.DataFrame(schema=_SENT), *map(_as_sent, stored.frames)])
        parts.append(table_of(session, unwritten))
    return reduce(lambda a, b: a.unionByName(b), parts)


def _as_sent(points: pl.DataFrame) -> pl.DataFrame:
    return points.with_columns(pl.col("wall_time").dt.timestamp("us").alias("time")).select(*_SENT).cast(_SENT)  # pyright: ignore[reportArgumentType]


def _read(session: SparkSession, files: PointFiles) -> SparkFrame:
    paths = [p if "://" in p else f"file://{p}" for p in files.paths]
    frame = session.read.schema(_COLUMNS).parquet(*paths).selectExpr(*_POINTS)
    return frame if not files.dropped else _without(session, frame, sorted(files.dropped))


def _without(session: SparkSession, frame: SparkFrame, runs: Sequence[str]) -> SparkFrame:
    if len(runs) <= MOST_LISTED:
        return frame.filter(~functions().col("run_id").isin(*runs))
    return frame.join(table_of(session, pl.DataFrame({"run_id": runs})), ["run_id"], "left_anti")


def _named(session: SparkSession, frame: SparkFrame, column: str, names: Sequence[str] | None) -> SparkFrame:
    """Keeps rows with one of these names."""
    if names is None:
        return frame
    if not names:
        return frame.filter("false")
    if len(names) <= MOST_LISTED:
        return frame.filter(functions().col(column).isin(*names))
    table = pl.DataFrame({column: list(names)}, schema={column: pl.String()}).unique()
    return frame.join(table_of(session, table), [column], "left_semi")


def _keys(session: SparkSession, keys: pl.DataFrame) -> SparkFrame:
    return table_of(session, keys.select(KEY).unique())


def _last_writes(frame: SparkFrame, step: str) -> SparkFrame:
    """Keeps the row with the highest seq of each step. ``step``: the columns that name one."""
    numbered = frame.selectExpr("*", f"row_number() over (partition by {step} order by seq desc) as write")
    return numbered.filter("write = 1").selectExpr(*_SENT)


def _same(session: SparkSession, frame: SparkFrame) -> SparkFrame:
    return frame


def _as_points(frame: pl.DataFrame, columns: Sequence[str], order: Sequence[str]) -> pl.DataFrame:
    """Returns fetched columns with the types of points, in a fixed order."""
    if "time" in frame.columns:
        frame = frame.with_columns(pl.from_epoch("time", "us").dt.replace_time_zone("UTC").alias("wall_time")).drop(
            "time"
        )
    if "seq" in frame.columns:
        frame = frame.with_columns(pl.col("seq").cast(pl.UInt32))
    return frame.select(columns).sort([c for c in order if c in columns], maintain_order=True)
