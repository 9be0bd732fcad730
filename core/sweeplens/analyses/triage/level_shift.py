"""Detector for lasting changes of level: one step between two steady levels, in any metric, over all series at once.

`shift_places` looks at each place that leaves a tenth of the points, and at least five, on either side. It takes the place where
the means before and after differ most in standard errors, and needs a chance below `CHANCE` for the largest of all places in
a series of independent normal noise (Bonferroni over the places). Curves that learn, drift or wander have no two steady levels: the
halves of each side must agree to a quarter of the step, and values scatter about their side as neighbours scatter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.metric_kinds import is_pace, pace_goal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["CHANCE", "SHIFT_POINTS", "describe_shifts", "level_shift", "shift_places"]

CHANCE = 1e-4  # chance of a step in a series of noise
SHIFT_POINTS = 20
_SIGMAS = 4.0  # the least step in deviations of the noise
_AGREE = 0.25  # largest difference of the halves of a side, as a share of the step
_SCATTER = 1.6  # largest scatter about a side, in multiples of the noise between neighbours
_WORTH = 0.25  # least drop of a speed, as a share of its level


def level_shift(context: DetectionContext) -> Iterator[Finding]:
    """A metric steps from one steady level to another and stays there; one row a run and kind.

    The step has a chance of 0.01 % a series in noise alone, and four deviations of the noise or more. medium (as
    ``throughput``): a logged speed or step time gets worse by a quarter or more. low: any other metric, an improvement aside.
    """
    first: dict[tuple[str, str], Finding] = {}
    for row in context.shifts.sort("run_id", "step", "metric").iter_rows(named=True):
        pace = is_pace(row["metric"])
        goal = pace_goal(row["metric"]) if pace else row["goal"]
        change = (row["after"] - row["before"]) / abs(row["before"]) if row["before"] else float("inf")
        better = (change < 0) == (goal == "lower")
        if goal != "unknown" and (better or (pace and abs(change) < _WORTH)):
            continue
        kind = "throughput" if pace else "level_shift"
        text = (
            f"{number(row['before'])} before, {number(row['after'])} after (medians, {change:+.0%}); "
            f"{number(row['last_before'])} at {row['step_before']}, {number(row['first_after'])} at {row['step']}"
        )
        severity = "medium" if pace else "low"
        first.setdefault(
            (row["run_id"], kind), Finding(row["run_id"], kind, severity, row["metric"], row["step"], text)
        )
    yield from first.values()


def shift_places(block: Floats, noise: Floats) -> Ints:
    """Returns for each row of a matrix (a series of `SHIFT_POINTS` or more) where its new level begins, or -1."""
    n = block.shape[1]
    sums = np.zeros((len(block), n + 1))
    np.cumsum(block - block.mean(axis=1, keepdims=True), axis=1, out=sums[:, 1:])
    least = max(n // 10, 5)
    k = np.arange(least, n - least + 1, dtype=np.int64)  # points before the step
    height = np.abs(sums[:, least : n - least + 1]) * np.sqrt(n / (k * (n - k)))
    at = height.argmax(axis=1).astype(np.int64) + least
    first, end = np.zeros(len(block), dtype=np.int64), np.full(len(block), n, dtype=np.int64)
    step = np.abs(_mean(sums, at, end) - _mean(sums, first, at))
    steady = (_apart(sums, first, at) < _AGREE * step) & (_apart(sums, at, end) < _AGREE * step)
    real = (noise > 0) & (step >= _SIGMAS * noise) & (height.max(axis=1) >= _limit(n) * noise)
    return np.where(real & steady, at, -1)


def _apart(sums: Floats, low: Ints, high: Ints) -> Floats:
    """Returns the difference of the means of the two halves of a side."""
    middle = (low + high) // 2
    return np.abs(_mean(sums, low, middle) - _mean(sums, middle, high))


def _mean(sums: Floats, low: Ints, high: Ints) -> Floats:
    """Returns the mean of each row from one place up to another."""
    row = np.arange(len(sums))
    return (sums[row, high] - sums[row, low]) / np.maximum(high - low, 1)


def _limit(n: int) -> float:
    """Returns the limit in standard errors that the largest of n differences of noise exceeds with probability `CHANCE`."""
    from scipy.special import ndtri  # loaded only where there are curves

    return float(-ndtri(CHANCE / (2 * n)))


def describe_shifts(frame: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Returns sid, step, step_before, last_before, first_after, before, after of series with a shift, without those whose values
    scatter about their side more than neighbours do.

    ``frame``: sid, step, value, finite and in order. ``places``: sid, at (a row of the series).
    """
    rows = frame.join(places.select("sid", "at"), on="sid", maintain_order="left")
    rows = rows.with_columns(late=pl.int_range(pl.len()).over("sid") >= pl.col("at"))
    rows = rows.with_columns(off=(pl.col("value") - pl.col("value").median().over("sid", "late")).abs())
    late = pl.col("late")
    described = rows.group_by("sid").agg(
        step=pl.col("step").filter(late).first(),
        step_before=pl.col("step").filter(late.not_()).last(),
        last_before=pl.col("value").filter(late.not_()).last(),
        first_after=pl.col("value").filter(late).first(),
        before=pl.col("value").filter(late.not_()).median(),
        after=pl.col("value").filter(late).median(),
        scatter=pl.col("off").median(),
        noise=pl.col("value").diff().abs().median() / 2**0.5,
    )
    return described.filter(pl.col("scatter") <= _SCATTER * pl.col("noise")).drop("scatter", "noise")
