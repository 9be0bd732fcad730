"""The reductions of `reductions` as Polars expressions over a lazy frame of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

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

__all__ = ["LEAST_PATIENCE", "PAUSE_GAPS", "PAUSE_SECONDS", "grouped", "in_seconds", "reduced"]

PAUSE_SECONDS, PAUSE_GAPS = 3600, 20
LEAST_PATIENCE = 3  # points
_IS_FINITE = pl.col("value").is_finite()
_FINITE = pl.when(_IS_FINITE).then(pl.col("value"))


def reduced(points: pl.LazyFrame, how: PointReduction) -> pl.LazyFrame:
    """Returns the result of a reduction, not yet computed."""
    return _REDUCTIONS[type(how)](points, how)


def grouped(points: pl.LazyFrame, how: PointReduction, groups: pl.DataFrame) -> pl.LazyFrame:
    """Returns the statistics of a reduction over groups of runs, as `Points.reduce_by_group` says, not yet computed."""
    value = pl.col("value")
    named = reduced(points, how).filter(_IS_FINITE).join(groups.lazy().select("run_id", "group"), on="run_id")
    return named.group_by("group", "metric").agg(
        n=pl.len().cast(pl.Int64), mean=value.mean(), std=value.std(), min=value.min(),
        q25=value.quantile(0.25, "linear"), median=value.median(), q75=value.quantile(0.75, "linear"), max=value.max(),
    )  # fmt: skip


def _last_k(stand: pl.LazyFrame, how: LastK) -> pl.LazyFrame:
    return stand.group_by(KEY).agg(_FINITE.sort_by("step").tail(how.k).mean().alias("value"))


def _tail_mean(stand: pl.LazyFrame, how: TailMean) -> pl.LazyFrame:
    known = stand.select(*KEY, "step", "value").join(how.sizes.lazy().select(*KEY, "k"), on=KEY)
    tail = _FINITE.sort_by("step").tail(pl.col("k").first()).mean()
    return known.group_by(KEY).agg(tail.alias("value"), pl.len().cast(pl.Int64).alias("n"))


def _last_tenth(stand: pl.LazyFrame, how: LastTenth) -> pl.LazyFrame:
    last, size = pl.col("value").sort_by("step").last(), pl.len() // 10
    tail = _FINITE.sort_by("step").tail(size).mean()
    value = pl.when((size >= how.least) & last.is_finite()).then(tail).otherwise(last)
    return stand.group_by(KEY).agg(value.alias("value"))


def _area(stand: pl.LazyFrame, how: AreaUnderCurve) -> pl.LazyFrame:
    step, value = (pl.col(c).sort_by("step") for c in ("step", "value"))
    width = step.diff()
    area = (width * (value + value.shift(1)) / 2).sum() / width.sum()
    kept = stand.filter(_IS_FINITE).group_by(KEY).agg(area.alias("value"), pl.len().alias("n"))
    return kept.filter(pl.col("n") > 1).select(*KEY, "value")


def _fluctuation(stand: pl.LazyFrame, how: Fluctuation) -> pl.LazyFrame:
    value = pl.col("value").sort_by("step")
    late = value.tail(pl.len() - pl.len() // 2)
    noise = ((late.diff() ** 2).mean() / 2).sqrt()
    return stand.filter(_IS_FINITE).group_by(KEY).agg(noise.alias("noise"))


def _last_up_to_step(stand: pl.LazyFrame, how: LastUpToStep) -> pl.LazyFrame:
    kept = stand.join(how.steps.lazy(), on="run_id").filter((pl.col("step") <= pl.col("best_step")) & _IS_FINITE)
    return kept.group_by(KEY).agg(pl.col("value").sort_by("step").last())


def _at_step(stand: pl.LazyFrame, how: AtStep) -> pl.LazyFrame:
    own = stand.filter(pl.col("step").max().over(KEY) >= how.step) if how.reached else stand
    kept = own.filter((pl.col("step") <= how.step) & _IS_FINITE)
    return kept.group_by(KEY).agg(pl.col("value").sort_by("step").last(), pl.col("step").max())


def _last_up_to_x(placed: pl.LazyFrame, how: LastUpToX) -> pl.LazyFrame:
    kept = placed.filter(_IS_FINITE & pl.col("x").is_finite() & (pl.col("x") <= how.most))
    return kept.group_by("run_id").agg(pl.col("value").sort_by("x", "step").last())


def _crossing(stand: pl.LazyFrame, how: Crossing) -> pl.LazyFrame:
    beyond = pl.col("value") < how.level if how.below else pl.col("value") > how.level
    return stand.filter(beyond & _IS_FINITE).group_by("run_id").agg(best_step=pl.col("step").min())


def _best_step(stand: pl.LazyFrame, how: BestStep) -> pl.LazyFrame:
    finite = stand.filter(_IS_FINITE).sort("value", "step", descending=[how.higher, False])
    return finite.group_by("run_id").agg(best_step=pl.col("step").first())


def in_seconds(span: pl.Expr) -> pl.Expr:
    """Returns a span in seconds, to the nearest number: a division by a constant multiplies by its inexact inverse."""
    return (span.dt.total_microseconds() / 1e6).round(6)


def _seconds_to_step(points: pl.LazyFrame, how: SecondsToStep) -> pl.LazyFrame:
    timed = points.select(*KEY, "step", "wall_time").filter(pl.col("wall_time").is_not_null())
    began = timed.group_by("run_id").agg(began=pl.col("wall_time").min())
    reached = timed.join(how.steps.lazy(), on="run_id").filter(pl.col("step") <= pl.col("best_step"))
    mine = (pl.col("metric") == how.metric) & (pl.col("step") == pl.col("best_step"))
    own = pl.col("wall_time").filter(mine).last()
    latest = pl.col("wall_time").sort_by("step", "wall_time").last()
    at = reached.group_by("run_id").agg(at=pl.coalesce(own, latest))
    since = in_seconds(pl.col("at") - pl.col("began"))
    return at.join(began, on="run_id").select("run_id", seconds=since)


def _early_stop(stand: pl.LazyFrame, how: EarlyStop) -> pl.LazyFrame:
    sign = 1 if how.lower else -1
    value = pl.col("value").sort_by("step") * sign
    best = value.cum_min()
    place = pl.int_range(pl.len())
    since = place - pl.when(value.eq(best) & (best < best.shift(1)).fill_null(value=True)).then(place).forward_fill()
    patience = pl.max_horizontal(pl.len() // 10, pl.lit(LEAST_PATIENCE))
    over = (since >= patience) & (place < pl.len() - 1)
    stop_step, stop_best = pl.col("step").sort().filter(over).first(), best.filter(over).first() * sign
    found = stand.filter(_IS_FINITE).group_by("run_id").agg(stop_step=stop_step, stop_best=stop_best)
    return found.filter(pl.col("stop_step").is_not_null())


def _wall_seconds(points: pl.LazyFrame, how: WallSeconds) -> pl.LazyFrame:
    times = points.filter(pl.col("wall_time").is_not_null()).select("run_id", "wall_time").unique()
    gap = in_seconds(pl.col("wall_time").sort().diff())
    usual = (gap.sum() - gap.max()) / (pl.len() - 2)
    is_pause = (gap > PAUSE_SECONDS) & (gap > PAUSE_GAPS * usual)
    found = times.group_by("run_id").agg(seconds=gap.filter(is_pause.not_()).sum(), paused=is_pause.any(), n=pl.len())
    return found.filter(pl.col("n") > 1).drop("n")


def _run_end(placed: pl.LazyFrame, how: RunEnd) -> pl.LazyFrame:
    kept = placed.filter(_IS_FINITE & pl.col("x").is_finite())
    best = pl.col("value").min() if how.lower else pl.col("value").max()
    return kept.group_by("run_id").agg(pl.col("x").max(), best.alias("best"))


def _at_budget(placed: pl.LazyFrame, how: AtBudget) -> pl.LazyFrame:
    kept = placed.filter(_IS_FINITE & pl.col("x").is_finite())
    value, x = pl.col("value"), pl.col("x")
    there = pl.when(x <= how.budget).then(value)
    good = value <= how.level if how.lower else value >= how.level
    return kept.group_by("run_id").agg(
        at_budget=there.min() if how.lower else there.max(), reached=pl.when(good).then(x).min()
    )


def _missing_times(points: pl.LazyFrame, how: MissingTimes) -> pl.LazyFrame:
    return points.select(pl.col("wall_time").is_null().any().alias("missing"))


def _point_count(points: pl.LazyFrame, how: PointCount) -> pl.LazyFrame:
    return points.group_by(KEY).agg(pl.len().cast(pl.Int64).alias("n"), _IS_FINITE.sum().cast(pl.Int64).alias("finite"))


def _extent(placed: pl.LazyFrame, how: AxisRange) -> pl.LazyFrame:
    x = pl.col("x").filter(pl.col("x").is_finite())
    return placed.group_by(KEY).agg(x.min().alias("first"), x.max().alias("last"), x.len().cast(pl.Int64).alias("n"))


def _first_return(points: pl.LazyFrame, how: FirstReturn) -> pl.LazyFrame:
    back = pl.col("step").filter(pl.col("step").diff() < 0).first()
    return points.group_by(KEY).agg(back).drop_nulls()


_REDUCTIONS: Mapping[type, Callable[[pl.LazyFrame, Any], pl.LazyFrame]] = {
    LastK: _last_k, LastTenth: _last_tenth,
    TailMean: _tail_mean, AreaUnderCurve: _area, Fluctuation: _fluctuation, LastUpToStep: _last_up_to_step,
    AtStep: _at_step, LastUpToX: _last_up_to_x, Crossing: _crossing, BestStep: _best_step,
    SecondsToStep: _seconds_to_step, EarlyStop: _early_stop, WallSeconds: _wall_seconds, RunEnd: _run_end,
    AtBudget: _at_budget, MissingTimes: _missing_times, PointCount: _point_count, AxisRange: _extent,
    FirstReturn: _first_return,
}  # fmt: skip
