"""Detectors for losses that cannot be right and for exploding gradients."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Any

import numpy as np
import polars as pl

from sweeplens.analyses.triage.context import Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.curve_levels import median
from sweeplens.analyses.triage.divergence import rewarded
from sweeplens.analyses.triage.metric_kinds import is_gradient, is_whole_loss
from sweeplens.frames.schemas import hparam_columns

__all__ = ["gradients", "never_learned", "runaway", "suspect_losses", "zero_loss"]

_CLASSES = (2, 10, 100, 1000, 30522, 32000, 32768, 50257, 50265, 50304, 65536, 100277, 128256, 151936)
_CLASS_NAMES = ("num_classes", "n_classes", "num_labels", "vocab_size", "n_vocab")
_NEAR = 0.01  # of ln k
_EXPLODED = 1000.0  # times the median gradient before
_FAR_BELOW = 100.0  # times the start of a loss
_STILL_FALLING = 0.15  # of the whole fall, in the last quarter
_ZEROS = 5
_LEARNED = 0.3  # share of its start by which the loss of most other runs fell
_NOT_LEARNED = 0.02
_LONG = 20


def suspect_losses(context: DetectionContext) -> pl.Expr:
    """Returns whether `zero_loss`, `runaway` and `gradients` examine a series as a curve."""
    names = context.series["metric"].unique().to_list()
    whole = pl.col("metric").is_in([m for m in names if is_whole_loss(m)]) & (pl.col("goal") == "lower")
    gradient = pl.col("metric").is_in([m for m in names if is_gradient(m)])
    usual = pl.max_horizontal(pl.min_horizontal(pl.col("first").abs(), pl.col("last_finite").abs()), pl.col("min"))
    return (pl.col("n_finite") >= context.thresholds.min_points) & (
        (whole & (_ends_at_zero() | _far_below())) | (gradient & (pl.col("max") > _EXPLODED / 4 * usual))
    )


def _ends_at_zero() -> pl.Expr:
    return (pl.col("last") == 0) & (pl.col("max") > 0)


def _far_below() -> pl.Expr:
    return (pl.col("first") > -1) & (
        pl.col("last_finite") < -_FAR_BELOW * pl.max_horizontal(pl.col("first").abs(), 1.0)
    )


def zero_loss(context: DetectionContext) -> Iterator[Finding]:
    """medium: a loss is exactly 0 from some step to its end, over five points or more; not in a run that logs a reward."""
    paid = rewarded(context)
    for curve in context.curves_of(context.extremes):
        if not is_whole_loss(curve.metric) or curve.run_id in paid or curve.values[-1] != 0:
            continue
        moving = np.flatnonzero(curve.values != 0)
        at = int(moving[-1]) + 1 if len(moving) else 0
        if at and len(curve.values) - at >= _ZEROS:
            text = (
                f"{number(curve.values[at - 1])} at step {curve.steps[at - 1]}, "
                f"exactly 0 at all {len(curve.values) - at} points from {curve.steps[at]} on"
            )
            yield Finding(curve.run_id, "zero_loss", "medium", curve.metric, int(curve.steps[at]), text)


def runaway(context: DetectionContext) -> Iterator[Finding]:
    """medium: a loss that began above -1 ends below minus a hundred times its start and still falls: it has no lower bound."""
    for curve in context.curves_of(context.extremes):
        v = curve.values
        if not is_whole_loss(curve.metric) or curve.goal != "lower" or v[-1] > -_FAR_BELOW:
            continue
        fall = v[0] - v[-1]
        if median(v[-len(v) // 4 : -len(v) // 4 + 3]) - v[-1] < _STILL_FALLING * fall:
            continue
        at = min(int(np.flatnonzero(v >= 0)[-1]) + 1, len(v) - 1) if (v >= 0).any() else 0
        text = (
            f"{number(v[0])} at step {curve.steps[0]}, below 0 from step {curve.steps[at]} on, "
            f"{number(v[-1])} at {curve.steps[-1]} and still falling"
        )
        yield Finding(curve.run_id, "runaway", "medium", curve.metric, int(curve.steps[at]), text)


def gradients(context: DetectionContext) -> Iterator[Finding]:
    """medium: a gradient norm reaches a thousand times the median of the points before it, after the first tenth of the points;
    one row a run."""
    worst: dict[str, tuple[float, Finding]] = {}
    for curve in context.curves_of(context.extremes):
        found = _exploded(curve) if is_gradient(curve.metric) else None
        if found and found[0] > worst.get(curve.run_id, (0.0, None))[0]:
            worst[curve.run_id] = found
    yield from (finding for _, finding in worst.values())


def _exploded(curve: Curve) -> tuple[float, Finding] | None:
    v, first = np.abs(curve.values), max(len(curve.values) // 10, 5)
    usual = median(v[: max(len(v) // 2, first)])
    high = np.flatnonzero(v[first:] >= _EXPLODED * usual) + first
    if not len(high) or usual <= 0:
        return None
    at, top = int(high[0]), int(v.argmax())
    text = (
        f"{number(curve.values[at - 1])} at step {curve.steps[at - 1]}, {number(curve.values[at])} at {curve.steps[at]}; "
        f"largest {number(curve.values[top])} at {curve.steps[top]}, usually {number(usual)}; {len(high)} of {len(v)} points"
    )
    return float(v[top] / usual), Finding(curve.run_id, "gradients", "medium", curve.metric, int(curve.steps[at]), text)


def never_learned(context: DetectionContext) -> Iterator[Finding]:
    """A loss stays at its start, over twenty points or more.

    medium: it stays within 1 % of ln k, the loss of guessing among k classes (2, 10, 100, 1000, usual vocabularies, and
    the number of classes in the configuration), or it fell by less than 2 % where the same metric fell by 30 % in most other
    runs. Exactly constant series are ``constant``.
    """
    names = [m for m in context.series["metric"].unique().to_list() if is_whole_loss(m)]
    spread, level = pl.col("std"), pl.col("mean").abs()
    lost = (pl.col("first") - pl.col("last_finite")) / pl.col("first").abs()
    table = context.series.filter(
        pl.col("metric").is_in(names) & (pl.col("goal") == "lower") & (pl.col("n_finite") >= _LONG)
    )
    table = table.with_columns(
        lost=lost, still=(spread < 0.02 * level) & (lost.abs() < _NOT_LEARNED) & (pl.col("min") < pl.col("max"))
    ).with_columns(others=(pl.col("lost") >= _LEARNED).mean().over("metric"))
    for row in table.filter("still").sort("run_id", "n_finite", descending=[False, True]).unique(
        "run_id", keep="first", maintain_order=True
    ).iter_rows(named=True):  # fmt: skip
        guess = _guess(row["mean"], _classes_of(context.runs, row["run_id"]))
        if guess or row["others"] > 0.5:
            yield _stuck(row, guess)


def _stuck(row: dict[str, Any], guess: int) -> Finding:
    others = f"{row['others']:.0%} of the runs lost 30 % or more"
    why = f"ln {guess} = {log(guess):.4f} is the loss of guessing" if guess else others
    text = (
        f"{number(row['first'])} at step {row['first_step']}, {number(row['last_finite'])} at {row['last_finite_step']}, "
        f"mean {number(row['mean'])} of {row['n_finite']} points; {why}"
    )
    return Finding(row["run_id"], "never_learned", "medium", row["metric"], row["first_step"], text)


def _guess(mean: float, own: tuple[int, ...]) -> int:
    """Returns the number of classes for which a loss of this level is that of guessing; 0 if there is none."""
    return next((k for k in (*own, *_CLASSES) if k > 1 and abs(mean - log(k)) <= _NEAR * log(k)), 0)


def _classes_of(runs: pl.DataFrame, run_id: str) -> tuple[int, ...]:
    names = [n for n in hparam_columns(runs) if n.lower().split(".")[-1] in _CLASS_NAMES and runs[n].dtype.is_numeric()]
    if not names:
        return ()
    return tuple(
        int(k) for k in runs.filter(pl.col("run_id") == run_id).select(names).row(0) if k is not None and k > 1
    )
