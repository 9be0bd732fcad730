"""Compares two sides at equal budget: the best value at the largest budget that every run reached, and the cost of a threshold.

The axis is ``step``, ``wall_time`` (seconds since the run's first point) or any metric of the run, joined on step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.analyses.sides import Sides
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound

__all__ = ["at_equal_budget"]

_SCHEMA = {
    "metric": pl.String(), "goal": pl.String(), "axis": pl.String(), "budget": pl.Float64(), "best_a": pl.Float64(),
    "best_b": pl.Float64(), "difference": pl.Float64(), "threshold": pl.Float64(), "n_reached_a": pl.Int64(),
    "reached_at_a": pl.Float64(), "n_reached_b": pl.Int64(), "reached_at_b": pl.Float64(),
}  # fmt: skip


def at_equal_budget(
    series: pl.DataFrame,
    points: pl.LazyFrame,
    sides: Sides,
    goals: Mapping[str, str],
    *,
    axis: str = "step",
    threshold: float | None = None,
) -> pl.DataFrame:
    """Returns one row a metric of ``goals`` (metric -> lower, higher): means over runs, and the median x at the threshold.

    The default threshold is the level that every run reached. ``budget`` and ``reached_at`` are in the unit of the axis.
    """
    asked = series.filter(pl.col("metric").is_in(list(goals)) & pl.col("run_id").is_in(sides.both))
    placed = _placed(asked, series, points, sides.both, axis).filter(pl.col("value").is_finite())
    rows = [_row(placed.filter(pl.col("metric") == m), sides, m, g, axis, threshold) for m, g in goals.items()]
    return pl.DataFrame([r for r in rows if r is not None], schema=_SCHEMA, orient="row")


def _placed(
    asked: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, ids: Sequence[str], axis: str
) -> pl.DataFrame:
    """Returns run_id, metric, x, value of the standing points, in order of x."""
    own = select_points(points, runs=ids)
    stand = standing(select_points(own, metrics=asked["metric"].unique().to_list()), rewound(asked))
    if axis == "step":
        placed = stand.with_columns(x=pl.col("step").cast(pl.Float64))
    elif axis == "wall_time":
        began = own.group_by("run_id").agg(pl.col("wall_time").min().alias("began"))
        since = (pl.col("wall_time") - pl.col("began")).dt.total_microseconds() / 1e6
        placed = stand.join(began, on="run_id").with_columns(x=since)
    else:
        of_axis = series.filter((pl.col("metric") == axis) & pl.col("run_id").is_in(list(ids)))
        at = standing(select_points(own, metrics=[axis]), rewound(of_axis))
        placed = stand.join(at.select("run_id", "step", pl.col("value").alias("x")), on=["run_id", "step"])
    usable = placed.select("run_id", "metric", "x", "value").filter(pl.col("x").is_finite()).collect()
    return usable.sort("run_id", "metric", "x", maintain_order=True)


def _row(
    placed: pl.DataFrame, sides: Sides, metric: str, goal: str, axis: str, threshold: float | None
) -> tuple[object, ...] | None:
    """Returns the row of one metric; None if a side has no point on this axis."""
    best = pl.col("value").cum_min() if goal == "lower" else pl.col("value").cum_max()
    curves = placed.with_columns(best.over("run_id").alias("best"))
    ends = curves.group_by("run_id").agg(pl.col("x").max(), pl.col("best").last())
    if not all(ends["run_id"].is_in(list(ids)).any() for ids in (sides.a, sides.b)):
        return None
    budget = float(ends["x"].min())  # pyright: ignore[reportArgumentType]
    worst = ends["best"].max() if goal == "lower" else ends["best"].min()
    level = float(worst) if threshold is None else threshold  # pyright: ignore[reportArgumentType]
    at_budget = curves.filter(pl.col("x") <= budget).group_by("run_id").agg(pl.col("best").last())
    there = pl.col("best") <= level if goal == "lower" else pl.col("best") >= level
    reached = curves.filter(there).group_by("run_id").agg(pl.col("x").first())
    best_a, best_b = (_mean(at_budget, ids, "best") for ids in (sides.a, sides.b))
    difference = None if best_a is None or best_b is None else best_a - best_b
    (n_a, x_a), (n_b, x_b) = (_median(ends, reached, ids) for ids in (sides.a, sides.b))
    return metric, goal, axis, budget, best_a, best_b, difference, level, n_a, x_a, n_b, x_b


def _mean(table: pl.DataFrame, ids: Sequence[str], column: str) -> float | None:
    values = table.filter(pl.col("run_id").is_in(list(ids)))[column].to_list()
    return sum(values) / len(values) if values else None


def _median(ends: pl.DataFrame, reached: pl.DataFrame, ids: Sequence[str]) -> tuple[int, float | None]:
    """Returns how many runs of a side reached the level, and the median x; runs that never did count as infinity."""
    runs = ends.filter(pl.col("run_id").is_in(list(ids))).height
    places = sorted(reached.filter(pl.col("run_id").is_in(list(ids)))["x"].to_list())
    padded = places + [float("inf")] * (runs - len(places))
    middle = (padded[(runs - 1) // 2] + padded[runs // 2]) / 2 if padded else float("inf")
    return len(places), middle if middle != float("inf") else None
