"""The reductions of `reductions` as Spark expressions, over columns run_id, metric, step, value, time (microseconds), seq, x.

Only static text becomes SQL here; names and numbers of a question are literals or joined tables. Engines disagree about NaN
and about dividing by zero, so a value counts only where it is finite, and a divisor of zero is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from sweeplens.engines.polars_reductions import LEAST_PATIENCE, PAUSE_GAPS, PAUSE_SECONDS
from sweeplens.engines.protocol import KEY
from sweeplens.engines.reductions import (
    AreaUnderCurve,
    AtBudget,
    AtStep,
    AxisRange,
    BestStep,
    Crossing,
    EarlyStop,
    FirstReturn,
    Fluctuation,
    LastK,
    LastTenth,
    LastUpToStep,
    LastUpToX,
    MissingTimes,
    PointCount,
    PointReduction,
    RunEnd,
    SecondsToStep,
    TailMean,
    WallSeconds,
)
from sweeplens.engines.spark_types import SparkFrame, SparkSession, functions

__all__ = ["FINITE_VALUE", "FINITE_X", "aggregated", "bucketed", "spark_grouped", "spark_reduced", "table_of"]

_FINITE = "({0} > double('-Infinity') and {0} < double('Infinity'))"
FINITE_VALUE, FINITE_X = _FINITE.format("value"), _FINITE.format("x")
_MICROSECONDS = 1_000_000
_TYPES: Mapping[pl.DataType, str] = {
    pl.String(): "string",
    pl.Int64(): "bigint",
    pl.Int32(): "int",
    pl.Float64(): "double",
    pl.Boolean(): "boolean",
}
_BY_STEP = "over (partition by run_id, metric order by step)"


def spark_reduced(session: SparkSession, points: SparkFrame, how: PointReduction) -> SparkFrame:
    """Returns the result of a reduction, not yet computed."""
    return _REDUCTIONS[type(how)](session, points, how)


def spark_grouped(session: SparkSession, points: SparkFrame, how: PointReduction, groups: pl.DataFrame) -> SparkFrame:
    """Returns the statistics of a reduction over groups of runs, as `Points.reduce_by_group` says, not yet computed."""
    named = table_of(session, groups.select("run_id", pl.col("group").cast(pl.Int64)))
    values = _finite(spark_reduced(session, points, how)).join(named, ["run_id"])
    return aggregated(values, ["group", "metric"], *_STATISTICS)


_STATISTICS = (
    "count(*) as n", "avg(value) as mean", "case when count(*) > 1 then stddev_samp(value) end as std", "min(value) as min",
    "percentile(value, 0.25) as q25", "percentile(value, 0.5) as median", "percentile(value, 0.75) as q75",
    "max(value) as max",
)  # fmt: skip


def bucketed(session: SparkSession, points: SparkFrame, curves: pl.DataFrame) -> SparkFrame:
    """Returns one row for each curve and interval with a finite value, as `Points.bucket` says."""
    intervals = table_of(session, curves.select(*KEY, pl.col("curve").cast(pl.Int64), "start", "width"))
    placed = points.filter(FINITE_X).join(intervals, list(KEY))
    cells = placed.selectExpr("curve", "floor((x - start) / width + 0.5D) as stretch", "x", "value")
    mean = f"avg(case when {FINITE_VALUE} then value end) as value"
    middles = aggregated(cells, ["curve", "stretch"], "(min(x) + max(x)) / 2D as x", mean, "count(*) as points")
    return middles.filter("value is not null")


def table_of(session: SparkSession, frame: pl.DataFrame) -> SparkFrame:
    """Sends a small frame to the cluster."""
    if frame.height:
        return session.createDataFrame(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
    columns = ", ".join(f"{name} {_TYPES[dtype]}" for name, dtype in frame.schema.items())
    return session.createDataFrame([], columns)  # Spark infers no types from a table without rows


def aggregated(frame: SparkFrame, by: list[str], *expressions: str) -> SparkFrame:
    """Groups by columns and aggregates; each expression names its column."""
    made = functions()
    return frame.groupBy(*by).agg(*map(made.expr, expressions))


def _per_series(frame: SparkFrame, *expressions: str) -> SparkFrame:
    return aggregated(frame, list(KEY), *expressions)


def _per_run(frame: SparkFrame, *expressions: str) -> SparkFrame:
    return aggregated(frame, ["run_id"], *expressions)


def _finite(points: SparkFrame) -> SparkFrame:
    return points.filter(FINITE_VALUE)


def _from_the_end(points: SparkFrame) -> SparkFrame:
    """Adds ``back``: 1 at the last step of each series, 2 at the one before."""
    return points.selectExpr("*", "row_number() over (partition by run_id, metric order by step desc) as back")


_MEAN = f"avg(case when {FINITE_VALUE} then value end) as value"


def _last_k(session: SparkSession, stand: SparkFrame, how: LastK) -> SparkFrame:
    return _per_series(_from_the_end(stand).filter(f"back <= {how.k:d}"), _MEAN)


def _last_tenth(session: SparkSession, stand: SparkFrame, how: LastTenth) -> SparkFrame:
    ends = _from_the_end(stand).selectExpr("*", "count(*) over (partition by run_id, metric) div 10 as size")
    tail = f"avg(case when back <= size and {FINITE_VALUE} then value end) as tail"
    both = _per_series(ends, "max_by(value, step) as last", tail, "max(size) as size")
    is_long = f"size >= {how.least:d} and {_FINITE.format('last')}"
    return both.selectExpr(*KEY, f"case when {is_long} then tail else last end as value")


def _tail_mean(session: SparkSession, stand: SparkFrame, how: TailMean) -> SparkFrame:
    sizes = table_of(session, how.sizes.select(*KEY, pl.col("k").cast(pl.Int64)))
    ends = _from_the_end(stand.join(sizes, list(KEY)))
    mean = f"avg(case when back <= k and {FINITE_VALUE} then value end) as value"
    return _per_series(ends, mean, "count(*) as n")


def _area(session: SparkSession, stand: SparkFrame, how: AreaUnderCurve) -> SparkFrame:
    ahead = _finite(stand).selectExpr(
        *KEY, "value", f"lag(value) {_BY_STEP} as before",
        f"double(step) - lag(double(step)) {_BY_STEP} as width",
    )  # fmt: skip
    area = "sum(width * (value + before) / 2D) / nullif(sum(width), 0D) as value"
    return _per_series(ahead, area, "count(*) as n").filter("n > 1").select(*KEY, "value")


def _fluctuation(session: SparkSession, stand: SparkFrame, how: Fluctuation) -> SparkFrame:
    placed = _finite(stand).selectExpr(
        *KEY, "value", f"lag(value) {_BY_STEP} as before", f"row_number() {_BY_STEP} as place",
        "count(*) over (partition by run_id, metric) as n",
    )  # fmt: skip
    pairs = "case when place - 1 > n div 2 then (value - before) * (value - before) end"
    return _per_series(placed, f"sqrt(avg({pairs}) / 2D) as noise")


def _last_up_to_step(session: SparkSession, stand: SparkFrame, how: LastUpToStep) -> SparkFrame:
    joined = _finite(stand).join(_steps(session, how.steps), ["run_id"])
    return _per_series(joined.filter("step <= best_step"), "max_by(value, step) as value")


def _steps(session: SparkSession, steps: pl.DataFrame) -> SparkFrame:
    return table_of(session, steps.select("run_id", pl.col("best_step").cast(pl.Int64)))


def _at_step(session: SparkSession, stand: SparkFrame, how: AtStep) -> SparkFrame:
    if how.reached:
        ends = stand.selectExpr("*", "max(step) over (partition by run_id, metric) as last_step")
        stand = ends.filter(f"last_step >= {how.step:d}")
    reached = _finite(stand).filter(f"step <= {how.step:d}")
    return _per_series(reached, "max_by(value, step) as value", "max(step) as step")


def _last_up_to_x(session: SparkSession, placed: SparkFrame, how: LastUpToX) -> SparkFrame:
    reached = _finite(placed).filter(FINITE_X).filter(f"x <= {_double(how.most)}")
    return _per_run(reached, "max_by(value, struct(x, step)) as value")


def _crossing(session: SparkSession, stand: SparkFrame, how: Crossing) -> SparkFrame:
    sign = "<" if how.below else ">"
    return _per_run(_finite(stand).filter(f"value {sign} {_double(how.level)}"), "min(step) as best_step")


def _best_step(session: SparkSession, stand: SparkFrame, how: BestStep) -> SparkFrame:
    sign = "-" if how.higher else ""
    return _per_run(_finite(stand), f"min_by(step, struct({sign}value as badness, step)) as best_step")


def _seconds_to_step(session: SparkSession, points: SparkFrame, how: SecondsToStep) -> SparkFrame:
    timed = points.filter("time is not null").select(*KEY, "step", "time", "seq")
    reached = timed.join(_steps(session, how.steps), ["run_id"]).filter("step <= best_step")
    asked = table_of(session, pl.DataFrame({"asked": [how.metric]}))
    named = reached.join(asked.selectExpr("asked as metric", "true as is_own"), ["metric"], "left")
    own = "max_by(case when is_own and step = best_step then time end, case when is_own and step = best_step then seq end)"
    at = _per_run(named, f"coalesce({own}, max_by(time, struct(step, time))) as at")
    began = _per_run(timed, "min(time) as began")
    return at.join(began, ["run_id"]).selectExpr("run_id", f"(at - began) / {_MICROSECONDS}D as seconds")


def _early_stop(session: SparkSession, stand: SparkFrame, how: EarlyStop) -> SparkFrame:
    in_order, sign = "over (partition by run_id order by step)", "" if how.lower else "-"
    so_far = "over (partition by run_id order by step rows between unbounded preceding and current row)"
    best = _finite(stand).selectExpr(
        "run_id", "step", f"row_number() {in_order} - 1 as place", "count(*) over (partition by run_id) as n",
        f"min({sign}value) {so_far} as best",
    )  # fmt: skip
    new = best.selectExpr("*", f"coalesce(best < lag(best) {in_order}, true) as is_new")
    since = new.selectExpr("*", f"place - max(case when is_new then place end) {so_far} as since")
    over = since.filter(f"since >= greatest(n div 10, {LEAST_PATIENCE}) and place < n - 1")
    return _per_run(over, "min_by(step, place) as stop_step", f"{sign}min_by(best, place) as stop_best")


def _wall_seconds(session: SparkSession, points: SparkFrame, how: WallSeconds) -> SparkFrame:
    times = aggregated(points.filter("time is not null"), ["run_id", "time"], "count(*) as points")
    gaps = times.selectExpr(
        "run_id", f"(time - lag(time) over (partition by run_id order by time)) / {_MICROSECONDS}D as gap"
    )
    whole = _per_run(gaps, "sum(gap) as total", "max(gap) as longest", "count(*) as n").filter("n > 1")
    usual = whole.selectExpr("run_id", "(total - longest) / nullif(n - 2, 0) as usual")
    told = gaps.filter("gap is not null").join(usual, ["run_id"])
    marked = told.selectExpr(
        "run_id", "gap", f"coalesce(gap > {PAUSE_SECONDS}D and gap > {PAUSE_GAPS}D * usual, false) as is_pause"
    )
    return _per_run(
        marked, "coalesce(sum(case when not is_pause then gap end), 0D) as seconds", "bool_or(is_pause) as paused"
    )


def _run_end(session: SparkSession, placed: SparkFrame, how: RunEnd) -> SparkFrame:
    best = "min" if how.lower else "max"
    return _per_run(_finite(placed).filter(FINITE_X), "max(x) as x", f"{best}(value) as best")


def _at_budget(session: SparkSession, placed: SparkFrame, how: AtBudget) -> SparkFrame:
    best, good = ("min", "<=") if how.lower else ("max", ">=")
    return _per_run(
        _finite(placed).filter(FINITE_X),
        f"{best}(case when x <= {_double(how.budget)} then value end) as at_budget",
        f"min(case when value {good} {_double(how.level)} then x end) as reached",
    )


def _missing_times(session: SparkSession, points: SparkFrame, how: MissingTimes) -> SparkFrame:
    return points.agg(functions().expr("coalesce(bool_or(time is null), false) as missing"))


def _point_count(session: SparkSession, points: SparkFrame, how: PointCount) -> SparkFrame:
    return _per_series(points, "count(*) as n", f"count(case when {FINITE_VALUE} then 1 end) as finite")


def _extent(session: SparkSession, placed: SparkFrame, how: AxisRange) -> SparkFrame:
    x = f"case when {FINITE_X} then x end"
    return _per_series(placed, f"min({x}) as first", f"max({x}) as last", f"count({x}) as n")


def _first_return(session: SparkSession, points: SparkFrame, how: FirstReturn) -> SparkFrame:
    before = "lag(step) over (partition by run_id, metric order by seq) as before"
    back = points.selectExpr(*KEY, "step", "seq", before).filter("step < before")
    return _per_series(back, "min_by(step, seq) as step")


def _double(number: float) -> str:
    """Returns a number as Spark's literal of the same double."""
    return f"double('{float(number)!r}')"


_REDUCTIONS: Mapping[type, Callable[[SparkSession, SparkFrame, Any], SparkFrame]] = {
    LastK: _last_k, LastTenth: _last_tenth,
    TailMean: _tail_mean, AreaUnderCurve: _area, Fluctuation: _fluctuation, LastUpToStep: _last_up_to_step,
    AtStep: _at_step, LastUpToX: _last_up_to_x, Crossing: _crossing, BestStep: _best_step,
    SecondsToStep: _seconds_to_step, EarlyStop: _early_stop, WallSeconds: _wall_seconds, RunEnd: _run_end,
    AtBudget: _at_budget, MissingTimes: _missing_times, PointCount: _point_count, AxisRange: _extent,
    FirstReturn: _first_return,
}  # fmt: skip
