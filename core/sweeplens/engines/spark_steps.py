"""The steps of a plan on a Spark cluster: each makes a frame from a frame. They are data (functions with bound values), so that
points can be sent to another process of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import polars as pl

from sweeplens.engines.protocol import KEY, PointFiles, StoredPoints
from sweeplens.engines.spark_reductions import FINITE_VALUE, aggregated, table_of
from sweeplens.engines.spark_session import Plan
from sweeplens.engines.spark_types import SparkFrame, SparkSession, functions

__all__ = [
    "MOST_LISTED",
    "Step",
    "chained",
    "filtered",
    "finite",
    "last_writes",
    "of_series",
    "on_metric",
    "on_step",
    "on_time",
    "scanned_files",
    "selected",
    "standing",
    "unchanged",
    "with_times_of",
]

MOST_LISTED = 10_000
"""Names in a filter; more are sent as a table and joined."""
_COLUMNS = "run_id string, metric string, step bigint, value double, wall_time timestamp, seq int"
_POINTS = ("run_id", "metric", "step", "value", "unix_micros(wall_time) as time", "seq")
_SENT = {
    "run_id": pl.String(), "metric": pl.String(), "step": pl.Int64(), "value": pl.Float64(), "time": pl.Int64(),
    "seq": pl.Int32(),
}  # fmt: skip
"""The columns on the cluster: times are numbers, as no time zone can change those."""

Step = Callable[[SparkSession, SparkFrame], SparkFrame]


def chained(plan: Plan, step: Step, session: SparkSession) -> SparkFrame:
    """Returns a plan after one more step."""
    return step(session, plan(session))


def scanned_files(stored: StoredPoints, session: SparkSession) -> SparkFrame:
    """Returns all points of a snapshot: of its files, and those that are not written yet."""
    parts = [_read(session, files) for files in stored.files]
    if stored.frames or not parts:
        unwritten = pl.concat([pl.DataFrame(schema=_SENT), *map(_as_sent, stored.frames)])
        parts.append(table_of(session, unwritten))
    return reduce(lambda a, b: a.unionByName(b), parts)


def unchanged(session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Returns the frame."""
    return frame


def filtered(conditions: Sequence[str], session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Keeps rows for which every condition holds."""
    return reduce(lambda kept, condition: kept.filter(condition), conditions, frame)


def selected(
    runs: Sequence[str] | None, metrics: Sequence[str] | None, session: SparkSession, frame: SparkFrame
) -> SparkFrame:
    """Keeps rows of these runs and metrics (None: all)."""
    return _named(session, _named(session, frame, "run_id", runs), "metric", metrics)


def of_series(keys: pl.DataFrame, session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Keeps rows of these series."""
    return frame.join(_keys(session, keys), list(KEY), "left_semi")


def finite(session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Keeps finite values."""
    return frame.filter(FINITE_VALUE)


def standing(rewound: pl.DataFrame, session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Keeps the last write of each step; only series that rewound are sorted."""
    keys = _keys(session, rewound)
    again = last_writes("run_id, metric, step", session, frame.join(keys, list(KEY), "left_semi"))
    return frame.join(keys, list(KEY), "left_anti").unionByName(again)


def last_writes(step: str, session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Keeps the row with the highest seq of each step. ``step``: the columns that name one."""
    numbered = frame.selectExpr("*", f"row_number() over (partition by {step} order by seq desc) as write")
    return numbered.filter("write = 1").selectExpr(*_SENT)


def on_step(session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Adds x: the step."""
    return frame.selectExpr("*", "double(step) as x")


def on_time(since: Plan | None, session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Adds x: seconds since the first time of the run, among the points of another plan or among these."""
    timed = frame.filter("time is not null")
    first = timed if since is None else since(session).filter("time is not null")
    began = aggregated(first, ["run_id"], "min(time) as began")
    return timed.join(began, ["run_id"]).selectExpr(*_SENT, "(time - began) / 1000000D as x")


def on_metric(at: Plan, session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Adds x: the value of another plan's points at the same run and step."""
    return frame.join(at(session).selectExpr("run_id", "step", "value as x"), ["run_id", "step"])


def with_times_of(others: Plan, session: SparkSession, frame: SparkFrame) -> SparkFrame:
    """Fills in times from another plan's points at the same run and step."""
    timed = others(session).filter("time is not null")
    times = aggregated(timed, ["run_id", "step"], "max_by(time, struct(metric, seq)) as other")
    joined = frame.join(times, ["run_id", "step"], "left")
    return joined.selectExpr("run_id", "metric", "step", "value", "coalesce(time, other) as time", "seq")


def _as_sent(points: pl.DataFrame) -> pl.DataFrame:
    time = pl.col("wall_time").dt.timestamp("us").alias("time")
    return points.with_columns(time).select(*_SENT).cast(_SENT)  # pyright: ignore[reportArgumentType]


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
