"""Detector for runs that get slower, by the times of their points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sweeplens.analyses.triage.context import Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.curve_levels import median, smooth
from sweeplens.config import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["throughput"]


def throughput(context: DetectionContext) -> Iterator[Finding]:
    """medium: the last quarter of a run's points went at a rate ``throughput_drop`` below that of the first half, for
    ``throughput_seconds`` or more.

    It compares medians of the seconds per step, so a pause is no drop. Only for points with times.
    """
    for curve in context.curves_of(context.pace):
        if curve.seconds is None or len(curve.seconds) < 2 * context.thresholds.min_points:
            continue
        steps = np.diff(curve.steps)
        moved = steps > 0
        if moved.sum() < context.thresholds.min_points:
            continue
        each = np.diff(curve.seconds)[moved] / steps[moved]
        found = _slowed(curve, each, curve.steps[1:][moved], context.thresholds)
        if found:
            yield found


def _slowed(curve: Curve, each: Floats, steps: NDArray[np.int64], limits: Thresholds) -> Finding | None:
    quarter = max(len(each) // 4, 1)
    before, after = median(each[: len(each) // 2]), median(each[-quarter:])
    lasted = float(curve.seconds[-1] - curve.seconds[-quarter]) if curve.seconds is not None else 0.0
    if before <= 0 or after < before / (1 - limits.throughput_drop) or lasted < limits.throughput_seconds:
        return None
    fast = np.flatnonzero(smooth(each) < (before + after) / 2)
    step = int(steps[min(int(fast[-1]) + 1, len(steps) - 1)]) if len(fast) else int(steps[0])
    text = f"{number(1 / before)} steps/s in the first half, {number(1 / after)} in the last quarter ({before / after - 1:+.0%})"
    return Finding(curve.run_id, "throughput", "medium", curve.metric, step, text)
