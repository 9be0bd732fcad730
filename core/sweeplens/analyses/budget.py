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
    both = pl.Series(sides.both, dtype=pl.String)
    asked = series.filter(pl.col("metric").is_in(list(goals)) & pl.col("run_id").is_in(both.implode()))
    named = None if asked["run_id"].n_unique() == series["run_id"].n_unique() else sides.both
    side_of = pl.DataFrame({"run_id": both, "in_a": [True] * len(sides.a) + [False] * len(sides.b)})
    rows: list[tuple[object, ...] | None] = []
    for metric, goal in goals.items():  # one metric at a time: all their points take much room
        mine = asked.filter(pl.col("metric") == metric)
        placed = _ordered(_placed(mine, series, points, named, axis).filter(pl.col("value").is_finite()))
        rows.append(_row(placed, side_of, metric, goal, axis, threshold))
    return pl.DataFrame([r for r in rows if r is not None], schema=_SCHEMA, orient="row")


def _placed(
    asked: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, ids: Sequence[str] | None, axis: str
) -> pl.DataFrame:
    """Returns run_id, x, value of the standing points of one metric. ``ids``: the runs, or None for all."""
    own = select_points(points, runs=ids)
    stand = standing(select_points(own, metrics=asked["metric"].unique().to_list()), rewound(asked))
    if axis == "step":
        placed = stand.with_columns(x=pl.col("step").cast(pl.Float64))
    elif axis == "wall_time":
        began = own.group_by("run_id").agg(pl.col("wall_time").min().alias("began"))
        since = (pl.col("wall_time") - pl.col("began")).dt.total_microseconds() / 1e6
        placed = stand.join(began, on="run_id").with_columns(x=since)
    else:
        of_axis = series.filter(pl.col("metric") == axis)
        at = standing(select_points(own, metrics=[axis]), rewound(of_axis))
        placed = stand.join(at.select("run_id", "step", pl.col("value").alias("x")), on=["run_id", "step"])
    return placed.select("run_id", "x", "value").filter(pl.col("x").is_finite()).collect()


def _ordered(placed: pl.DataFrame) -> pl.DataFrame:
    """Returns run (a number), run_id, x, value, in order of x within each run; points are usually in order already."""
    stretch = pl.col("run_id").rle_id().alias("run")
    numbered = placed.with_columns(stretch)
    stretches = int(numbered["run"][-1]) + 1 if numbered.height else 0
    back = (pl.col("x").diff() < 0) & (pl.col("run").diff() == 0)
    if stretches == numbered["run_id"].n_unique() and not numbered.select(back.any()).item():
        return numbered
    return placed.sort("run_id", "x", maintain_order=True).with_columns(stretch)


def _row(
    placed: pl.DataFrame, side_of: pl.DataFrame, metric: str, goal: str, axis: str, threshold: float | None
) -> tuple[object, ...] | None:
    """Returns the row of one metric; None if a side has no point on this axis. ``side_of``: run_id, in_a."""
    best = pl.col("value").cum_min() if goal == "lower" else pl.col("value").cum_max()
    curves = placed.with_columns(best.over("run").alias("best"))
    ends = curves.group_by("run").agg(pl.col("run_id").first(), pl.col("x").max(), pl.col("best").last())
    ends = ends.join(side_of, on="run_id").sort("run")
    if ends["in_a"].n_unique() < 2:
        return None
    budget = float(ends["x"].min())  # pyright: ignore[reportArgumentType]
    worst = ends["best"].max() if goal == "lower" else ends["best"].min()
    level = float(worst) if threshold is None else threshold  # pyright: ignore[reportArgumentType]
    there = pl.col("best") <= level if goal == "lower" else pl.col("best") >= level
    found = curves.group_by("run").agg(
        at_budget=pl.col("best").filter(pl.col("x") <= budget).last(), reached=pl.col("x").filter(there).first()
    )
    found = found.join(ends.select("run", "in_a"), on="run").sort("run")
    (best_a, n_a, x_a), (best_b, n_b, x_b) = (_of_side(found.filter(pl.col("in_a") == a)) for a in (True, False))
    difference = None if best_a is None or best_b is None else best_a - best_b
    return metric, goal, axis, budget, best_a, best_b, difference, level, n_a, x_a, n_b, x_b


def _of_side(found: pl.DataFrame) -> tuple[float | None, int, float | None]:
    """Returns the mean best at the budget, how many runs reached the level, and their median x (never: infinity)."""
    best = found["at_budget"].mean()
    middle = found["reached"].fill_null(float("inf")).median()
    x = middle if isinstance(middle, float) and middle != float("inf") else None
    return (best if isinstance(best, float) else None), found["reached"].count(), x
