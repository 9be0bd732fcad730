"""Compares two sides at equal budget: the best value at the largest budget that every run reached, and the cost of a threshold.

The axis is ``step``, ``wall_time`` (seconds since the run's first point) or any metric of the run, joined on step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.analyses.sides import Sides
from sweeplens.engines.protocol import Points, PointSource
from sweeplens.engines.reductions import AtBudget, Crossing, RunEnd
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
    points: PointSource,
    sides: Sides,
    goals: Mapping[str, str],
    *,
    axis: str = "step",
    threshold: float | None = None,
    alone: bool = False,
) -> pl.DataFrame:
    """Returns one row a metric of ``goals`` (metric -> lower, higher): means over runs, and the median x at the threshold.

    The default threshold is the level that every run reached. ``budget`` and ``reached_at`` are in the unit of the axis.
    ``series``: the rows of both sides; ``alone``: there are no other runs.
    """
    asked = series.filter(pl.col("metric").is_in(list(goals)))
    named = None if alone else sides.both
    in_a = pl.col("run_id").is_in(sides.ids_a)
    rows: list[tuple[object, ...] | None] = []
    for metric, goal in goals.items():  # one metric at a time: all their points take much room
        mine = asked.filter(pl.col("metric") == metric)
        placed = _placed(mine, series, points, named, axis)
        placed = placed if axis == "step" else placed.held(["run_id", "x", "value"])  # a joined axis is read once
        ends = _ends_by_step(mine, goal) if axis == "step" else placed.reduce(RunEnd(goal == "lower"))
        rows.append(_row(placed, ends.with_columns(in_a=in_a).sort("run_id"), metric, goal, axis, threshold))
    return pl.DataFrame([r for r in rows if r is not None], schema=_SCHEMA, orient="row")


def _placed(
    asked: pl.DataFrame, series: pl.DataFrame, points: PointSource, ids: Sequence[str] | None, axis: str
) -> Points:
    """Returns the standing points of one metric with their x. ``ids``: the runs, or None for all."""
    own = select_points(points, runs=ids)
    stand = standing(own.select(metrics=asked["metric"].unique().to_list()), rewound(asked)).finite()
    if axis == "step":
        return stand.on_step()
    if axis == "wall_time":
        return stand.on_time(own)
    of_axis = series.filter(pl.col("metric") == axis)
    return stand.on_metric(standing(own.select(metrics=[axis]), rewound(of_axis)))


def _ends_by_step(asked: pl.DataFrame, goal: str) -> pl.DataFrame:
    """Returns what `RunEnd` does on the steps of one metric, from its series alone."""
    best = pl.col("min" if goal == "lower" else "max").alias("best")
    return asked.select("run_id", pl.col("last_finite_step").cast(pl.Float64).alias("x"), best).drop_nulls()


def _row(
    placed: Points, ends: pl.DataFrame, metric: str, goal: str, axis: str, threshold: float | None
) -> tuple[object, ...] | None:
    """Returns the row of one metric; None if a side has no point on this axis. ``ends``: run_id, in order, x, best, in_a."""
    lower = goal == "lower"
    if ends["in_a"].n_unique() < 2:
        return None
    budget = float(ends["x"].min())  # pyright: ignore[reportArgumentType]
    worst = ends["best"].max() if lower else ends["best"].min()
    level = float(worst) if threshold is None else threshold  # pyright: ignore[reportArgumentType]
    reached = _reached(placed, ends, AtBudget(lower, budget, level), by_step=axis == "step")
    (best_a, n_a, x_a), (best_b, n_b, x_b) = (_of_side(reached.filter(pl.col("in_a") == a)) for a in (True, False))
    difference = None if best_a is None or best_b is None else best_a - best_b
    return metric, goal, axis, budget, best_a, best_b, difference, level, n_a, x_a, n_b, x_b


def _reached(placed: Points, ends: pl.DataFrame, how: AtBudget, *, by_step: bool) -> pl.DataFrame:
    """Adds at_budget and reached to the ends. Where no run went beyond the budget, its best is known, and less is read."""
    if not by_step or ends["x"].max() != how.budget:
        return ends.join(placed.reduce(how), on="run_id", how="left", maintain_order="left")
    beyond = math.nextafter(
        how.level, math.inf if how.lower else -math.inf
    )  # at least as good as the level is good enough
    first = placed.reduce(Crossing(beyond, below=how.lower)).select(
        "run_id", reached=pl.col("best_step").cast(pl.Float64)
    )
    return ends.join(first, on="run_id", how="left", maintain_order="left").with_columns(at_budget="best")


def _of_side(found: pl.DataFrame) -> tuple[float | None, int, float | None]:
    """Returns the mean best at the budget, how many runs reached the level, and their median x (never: infinity)."""
    best = found["at_budget"].mean()
    middle = found["reached"].fill_null(float("inf")).median()
    x = middle if isinstance(middle, float) and middle != float("inf") else None
    return (best if isinstance(best, float) else None), found["reached"].count(), x
