"""Lasting changes of level in any metric: one step between two steady levels, over all series at once.

`find_shifts` looks at each place that leaves a tenth of the points, and at least five, on either side. It takes the place where
the means before and after differ most in standard errors, and needs a chance below `CHANCE` for the largest of all places in
a series of independent normal noise (Bonferroni over the places). Curves that learn, drift or wander have no two steady levels: the
halves of each side must agree to a quarter of the step, and values scatter about their side as neighbours scatter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sweeplens.analyses.triage.aims import is_pace, pace_goal
from sweeplens.analyses.triage.context import ROBUST, DetectionContext, Finding, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["CHANCE", "SHIFT_POINTS", "find_shifts", "level_shift"]

CHANCE = 1e-4  # of a step in a series of noise
SHIFT_POINTS = 20
_SIGMAS = 4.0  # the least step in deviations of the noise
_AGREE = 0.25  # of the step, that the halves of a side may differ by
_SCATTER = 1.6  # times the noise between neighbours, that values may scatter about their side
_WORTH = 0.25  # of its level, that a pace must lose


def level_shift(scene: DetectionContext) -> Iterator[Finding]:
    """A metric steps from one steady level to another and stays there; one row a run and kind.

    The step has a chance of 0.01 % a series in noise alone, and four deviations of the noise or more. medium (as
    ``throughput``): a logged speed or step time gets worse by a quarter or more. low: any other metric, an improvement aside.
    """
    first: dict[tuple[str, str], Finding] = {}
    for row in scene.shifts.sort("run_id", "step", "metric").iter_rows(named=True):
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


def find_shifts(frame: pl.DataFrame) -> pl.DataFrame:
    """sid, step, step_before, last_before, first_after, before, after of each series that has one step.

    ``frame``: sid, step, value, finite and in order.
    """
    sized = frame.filter(pl.len().over("sid") >= SHIFT_POINTS)
    if not sized.height:
        return _described(sized, np.empty(0, np.int64), np.empty(0, np.int64))
    starts = np.flatnonzero(np.diff(sized["sid"].to_numpy(), prepend=-1))
    counts = np.diff(np.append(starts, sized.height))
    noise = sized.group_by("sid", maintain_order=True).agg(
        (pl.col("value").diff().abs().median() * (ROBUST / 2**0.5)).alias("noise")
    )
    places = _places(sized["value"].to_numpy(), starts, counts, noise["noise"].to_numpy())
    return _described(sized, starts[places >= 0], places[places >= 0])


def _places(v: Floats, starts: Ints, counts: Ints, noise: Floats) -> Ints:
    """For each series the row at which its new level begins, or -1."""
    own = np.repeat(np.arange(len(starts)), counts)
    centred = v - (np.add.reduceat(v, starts) / counts)[own]
    sums = np.concatenate([[0.0], np.cumsum(centred)])
    n, k = counts[own], np.arange(len(v)) - starts[own]  # k points lie before row i
    least = np.maximum(counts // 10, 5)[own]
    inside = (k >= least) & (n - k >= least)
    height = np.where(inside, np.abs(sums[:-1] - sums[starts][own]) * np.sqrt(n / np.maximum(k * (n - k), 1)), -1.0)
    top = np.maximum.reduceat(height, starts)
    at = np.minimum.reduceat(np.where(height == top[own], np.arange(len(v)), len(v)), starts)
    ends = starts + counts
    before, after = _mean(sums, starts, at), _mean(sums, at, ends)
    step = np.abs(after - before)
    middle, later = (starts + at) // 2, (at + ends) // 2
    steady = (np.abs(_mean(sums, starts, middle) - _mean(sums, middle, at)) < _AGREE * step) & (
        np.abs(_mean(sums, at, later) - _mean(sums, later, ends)) < _AGREE * step
    )
    real = (noise > 0) & (step >= _SIGMAS * noise) & (top >= _limits(counts) * noise)
    return np.where(real & steady, at, -1)


def _mean(sums: Floats, low: Ints, high: Ints) -> Floats:
    return (sums[high] - sums[low]) / np.maximum(high - low, 1)


def _limits(counts: Ints) -> Floats:
    from scipy.special import ndtri  # loaded only where there are curves

    return np.asarray(-ndtri(CHANCE / (2 * counts)), dtype=np.float64)


def _described(frame: pl.DataFrame, starts: Ints, places: Ints) -> pl.DataFrame:
    """The shifts in numbers, without those where values scatter more than neighbours do."""
    ids = frame["sid"].gather(starts)
    found = pl.DataFrame({"sid": ids, "at": places}, schema_overrides={"at": pl.Int64})
    rows = (
        frame.with_row_index("row")
        .join(found, on="sid")
        .with_columns(late=pl.col("row").cast(pl.Int64) >= pl.col("at"))
    )
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
