"""What points can be reduced to, as values that every engine understands. Each says which columns its result has.

Steps are those of standing points: one value for each step of a series. "Last" is by step. Only finite values count, unless
a reduction says otherwise.
"""

from __future__ import annotations

import polars as pl
from msgspec import Struct

__all__ = [
    "AreaUnderCurve",
    "AtBudget",
    "AtStep",
    "AxisRange",
    "BestStep",
    "Crossing",
    "EarlyStop",
    "FirstReturn",
    "Fluctuation",
    "LastK",
    "LastTenth",
    "LastUpToStep",
    "LastUpToX",
    "MissingTimes",
    "PointCount",
    "PointReduction",
    "RunEnd",
    "SecondsToStep",
    "TailMean",
    "WallSeconds",
]


class PointReduction(Struct, frozen=True, eq=False):
    """One row for each series, or for each run."""


class LastK(PointReduction, frozen=True, eq=False):
    """run_id, metric, value: the mean of the finite values among the last ``k`` standing points of each series."""

    k: int


class TailMean(PointReduction, frozen=True, eq=False):
    """run_id, metric, value, n: as `LastK`, with ``k`` for each series in ``sizes`` (run_id, metric, k), and the number of points
    that there are. Series without a size are left out.
    """

    sizes: pl.DataFrame


class LastTenth(PointReduction, frozen=True, eq=False):
    """run_id, metric, value: the mean of the finite values among the last tenth of the standing points of each series, if that is
    at least ``least`` points and the last value is finite; else the last value, finite or not.
    """

    least: int


class AreaUnderCurve(PointReduction, frozen=True, eq=False):
    """run_id, metric, value: the area under the values over steps (trapezoids), divided by the span of the steps."""


class Fluctuation(PointReduction, frozen=True, eq=False):
    """run_id, metric, noise: the standard deviation of values around their trend, in the second half of each series.

    It is computed from differences of neighbours, which a slow trend hardly affects (von Neumann 1941).
    """


class LastUpToStep(PointReduction, frozen=True, eq=False):
    """run_id, metric, value: the last value up to the run's own ``best_step`` in ``steps`` (run_id, best_step)."""

    steps: pl.DataFrame


class AtStep(PointReduction, frozen=True, eq=False):
    """run_id, metric, value, step: the last value up to ``step``. ``reached``: only of series that have a point there or later."""

    step: int
    reached: bool = False


class LastUpToX(PointReduction, frozen=True, eq=False):
    """run_id, value: the last value up to ``most`` on the axis x; of equal x, the last step."""

    most: float


class Crossing(PointReduction, frozen=True, eq=False):
    """run_id, best_step: the first step of each run with a value below (or above) ``level``."""

    level: float
    below: bool


class BestStep(PointReduction, frozen=True, eq=False):
    """run_id, best_step: the first step with the run's best value."""

    higher: bool


class SecondsToStep(PointReduction, frozen=True, eq=False):
    """run_id, seconds: from the run's first point to its own ``best_step``; only where times are logged.

    The time is that of ``metric`` at the step; where it has none, the latest that any metric has at the last step up to there.
    """

    metric: str
    steps: pl.DataFrame


class EarlyStop(PointReduction, frozen=True, eq=False):
    """run_id, stop_step, stop_best of one metric: where a tenth of its points, at least three, brought no new best for the
    first time, and the best until then; only runs that would have stopped before their last point.
    """

    lower: bool


class WallSeconds(PointReduction, frozen=True, eq=False):
    """run_id, seconds from the first to the last point without pauses, and whether there were pauses (``paused``).

    A pause is a gap of more than an hour and of more than twenty times the run's mean gap without its longest one.
    """


class RunEnd(PointReduction, frozen=True, eq=False):
    """run_id, x, best: the largest x of each run with points of one metric, and its best value."""

    lower: bool


class AtBudget(PointReduction, frozen=True, eq=False):
    """run_id, at_budget, reached: the best value up to ``budget`` on the axis x, and the first x with a value that is at least
    as good as ``level``; either can be null.
    """

    lower: bool
    budget: float
    level: float


class MissingTimes(PointReduction, frozen=True, eq=False):
    """missing: whether any point has no time; one row."""


class PointCount(PointReduction, frozen=True, eq=False):
    """run_id, metric, n, finite: the number of points of each series, and how many are finite."""


class AxisRange(PointReduction, frozen=True, eq=False):
    """run_id, metric, first, last, n: the smallest and largest finite x of each series, and how many points have one."""


class FirstReturn(PointReduction, frozen=True, eq=False):
    """run_id, metric, step: the first step at which a series went back, in the order of logging; only series that did."""
