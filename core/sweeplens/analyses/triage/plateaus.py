"""Detector for runs whose main metric stopped improving long before their end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sweeplens.analyses.triage.context import Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.curve_levels import median, smooth, spread

__all__ = ["plateau"]

_REST = 0.02  # of what was learned and of the last level, that may be missing where a plateau begins
_LEAST = 40  # points; in fewer, noise decides where a plateau begins


def plateau(context: DetectionContext) -> Iterator[Finding]:
    """low: the first main metric of a run, of forty points or more, came so close to its last level (within the noise, or
    2 % of what was learned and of its size) that it brought nothing clearly better over the last ``plateau_share`` of the points.

    Not where a later value is clearly better (by more than that, and by four times the noise), where it ends exactly at its best,
    at a perfect score (a loss of 0; 1 or 100 of what should be high), nor for losses that pass zero, which go up and down as their
    opponent does.
    """
    for curve in context.curves_of(context.flat):
        at = _reached(curve)
        if at is None or len(curve.worse) - at < context.thresholds.plateau_share * len(curve.worse):
            continue
        text = (
            f"{number(curve.values[0])} at step {curve.steps[0]}, {number(curve.values[at])} at {curve.steps[at]}, "
            f"{number(curve.values[-1])} at {curve.steps[-1]}: "
            f"nothing clearly better over {1 - at / len(curve.worse):.0%} of the points"
        )
        yield Finding(curve.run_id, "plateau", "low", curve.metric, int(curve.steps[at]), text)


def _reached(curve: Curve) -> int | None:
    """Returns the first point after which the curve is as good as at its end; None if it learned nothing or is perfect."""
    v = curve.worse
    if len(v) < _LEAST:
        return None
    level = smooth(v, max(len(v) // 20, 3))
    half, end = median(v[len(v) // 2 : 3 * len(v) // 4]), median(v[-(len(v) // 4) :])
    learned, noise = float(level[0]) - end, spread(v)
    rest = _REST * min(learned, abs(end))
    best = curve.values.min() if curve.goal == "lower" else curve.values.max()
    perfect = best <= 0 if curve.goal == "lower" else best in (1.0, 100.0)
    if perfect or best == curve.values[-1] or learned <= 6 * noise or half - end > max(rest / 4, noise / 4):
        return None
    near = level <= end + max(rest, noise / 2)
    at = int(np.flatnonzero(near)[0]) if near.any() else None
    return None if at is None or level[at] - float(v[at:].min()) > max(rest, 4 * noise) else at
