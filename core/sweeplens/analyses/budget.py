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
        placed = _placed(mine, series, points, named, axis)
        ends = _ends_by_step(mine, goal) if axis == "step" else _ends(placed, goal)
        rows.append(_row(placed, ends.join(side_of, on="run_id").sort("run_id"), metric, goal, axis, threshold))
    return pl.DataFrame([r for r in rows if r is not None], schema=_SCHEMA, orient="row")


def _placed(
    asked: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, ids: Sequence[str] | None, axis: str
) -> pl.LazyFrame:
    """Returns run_id, x, value of the standing points of one metric with finite values. ``ids``: the runs, or None for all."""
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
    finite = placed.select("run_id", "x", "value").filter(pl.col("x").is_finite() & pl.col("value").is_finite())
    return finite if axis == "step" else finite.collect().lazy()  # a joined axis is read once


def _best(goal: str) -> pl.Expr:
    return pl.col("value").min() if goal == "lower" else pl.col("value").max()


def _ends(placed: pl.LazyFrame, goal: str) -> pl.DataFrame:
    """Returns run_id, x, best, best_x: the largest x of each run, its best value, and None for where that is."""
    last = placed.group_by("run_id").agg(pl.col("x").max(), best=_best(goal))
    return last.with_columns(best_x=pl.lit(None, pl.Float64)).collect()


def _ends_by_step(asked: pl.DataFrame, goal: str) -> pl.DataFrame:
    """Returns what `_ends` does, from the series of one metric alone."""
    best = "min" if goal == "lower" else "max"
    steps = (pl.col(c).cast(pl.Float64) for c in ("last_finite_step", f"{best}_step"))
    return asked.select(
        "run_id", pl.col(best).alias("best"), *(e.alias(n) for e, n in zip(steps, ("x", "best_x"), strict=True))
    ).drop_nulls()


def _row(
    placed: pl.LazyFrame, ends: pl.DataFrame, metric: str, goal: str, axis: str, threshold: float | None
) -> tuple[object, ...] | None:
    """Returns the row of one metric; None if a side has no point on this axis. ``ends``: in order, with in_a."""
    if ends["in_a"].n_unique() < 2:
        return None
    budget = float(ends["x"].min())  # pyright: ignore[reportArgumentType]
    worst = ends["best"].max() if goal == "lower" else ends["best"].min()
    level = float(worst) if threshold is None else threshold  # pyright: ignore[reportArgumentType]
    there = pl.col("value") <= level if goal == "lower" else pl.col("value") >= level
    reached = placed.filter(there).group_by("run_id").agg(reached=pl.col("x").min()).collect()
    found = _with_best(ends, placed, budget, goal).join(reached, on="run_id", how="left", maintain_order="left")
    (best_a, n_a, x_a), (best_b, n_b, x_b) = (_of_side(found.filter(pl.col("in_a") == a)) for a in (True, False))
    difference = None if best_a is None or best_b is None else best_a - best_b
    return metric, goal, axis, budget, best_a, best_b, difference, level, n_a, x_a, n_b, x_b


def _with_best(ends: pl.DataFrame, placed: pl.LazyFrame, budget: float, goal: str) -> pl.DataFrame:
    """Adds at_budget: the best value up to the budget. Points are read only if the best of some run may come later."""
    if (ends["best_x"].fill_null(float("inf")) <= budget).all():
        return ends.with_columns(at_budget="best")
    early = placed.filter(pl.col("x") <= budget).group_by("run_id").agg(at_budget=_best(goal)).collect()
    return ends.join(early, on="run_id", how="left", maintain_order="left")


def _of_side(found: pl.DataFrame) -> tuple[float | None, int, float | None]:
    """Returns the mean best at the budget, how many runs reached the level, and their median x (never: infinity)."""
    best = found["at_budget"].mean()
    middle = found["reached"].fill_null(float("inf")).median()
    x = middle if isinstance(middle, float) and middle != float("inf") else None
    return (best if isinstance(best, float) else None), found["reached"].count(), x
