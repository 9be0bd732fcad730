"""Values of one metric at a budget that all runs reached: of wall time, or of a counter that was logged (tokens, samples).

A run's wall time is counted from the first point of the metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.sides import Sides
from sweeplens.engines.protocol import PointSource
from sweeplens.engines.reductions import LastUpToX, RunEnd
from sweeplens.frames.events import WALL_TIME
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound

__all__ = ["ValuesAtBudget", "at_budget", "at_equal_budgets"]

_ALIKE = 0.9  # where the shortest run reached so much of the longest, an equal budget changes nothing
_MOST_COUNTERS = 2


class ValuesAtBudget(Struct, frozen=True):
    """The largest amount of an axis that all runs reached, and run_id, value: the last finite value up to there."""

    axis: str
    budget: float
    values: pl.DataFrame


def at_budget(
    series: pl.DataFrame, points: PointSource, axis: str, runs: Sequence[str], sides: Sides | None = None
) -> ValuesAtBudget | None:
    """Returns the values of one metric (``series``: its rows) at an equal budget; None if a run lacks the axis or all are alike.

    ``sides``: the budget is the smaller one of their lower quartiles, so that a run that was cut off does not set it.
    """
    mine = series.filter(pl.col("run_id").is_in(list(runs)))
    metrics = mine["metric"].unique().to_list()
    if len(metrics) != 1 or mine.height < 2:
        return None
    if axis == WALL_TIME and not _is_timed(mine["run_id"][0], metrics, points):
        return None
    own = select_points(points, runs=mine["run_id"].to_list())
    stand = standing(own.select(metrics=metrics), rewound(mine)).finite()
    placed = stand.on_time() if axis == WALL_TIME else stand.on_metric(own.select(metrics=[axis]).last_writes())
    curves = placed.held(["run_id", "step", "x", "value"])
    ends = curves.reduce(RunEnd(lower=True))
    if ends.height < mine.height:
        return None
    low, high = _least(ends, sides), float(ends["x"].max())  # pyright: ignore[reportArgumentType]
    return None if low <= 0 or low >= _ALIKE * high else ValuesAtBudget(axis, low, curves.reduce(LastUpToX(low)))


def _least(ends: pl.DataFrame, sides: Sides | None) -> float:
    """Returns the amount that all runs reached, or three quarters of each side."""
    if sides is None:
        return float(ends["x"].min())  # pyright: ignore[reportArgumentType]
    return min(float(part["x"].quantile(0.25) or 0) for part in sides.parts_of(ends))


def _is_timed(run: str, metrics: Sequence[str], points: PointSource) -> bool:
    """Whether this run has times: without them there is no common budget, and the points of the others are not read."""
    return select_points(points, runs=[run], metrics=metrics).on_time().reduce(RunEnd(lower=True)).height > 0


def at_equal_budgets(series: pl.DataFrame, points: PointSource, counters: Sequence[str]) -> Iterator[ValuesAtBudget]:
    """Yields the values of one metric at equal wall time and at equal counts."""
    for axis in (WALL_TIME, *counters[:_MOST_COUNTERS]):
        found = at_budget(series, points, axis, series["run_id"].to_list())
        if found is not None:
            yield found
