"""Detector for spikes: single points, or a few, that stand out from their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sweeplens.analyses.triage.context import ROBUST, Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.curve_levels import median, noise, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["SPIKE_POINTS", "spike"]

SPIKE_POINTS = 8
_WINDOW = 5  # points on each side
_APART = 3.0  # times the usual large deviations


def spike(context: DetectionContext) -> Iterator[Finding]:
    """A metric with a goal jumps to the worse side of its neighbours and comes back; one row a run.

    It stands out from the median of the five points on each side by ``spike_deviations`` robust deviations, by half of the
    level, and by three times the largest usual deviations of the curve, after the first tenth of the points.
    medium: a value that should be low rises to twice the level and above the start of the curve. low: any other.
    """
    worst: dict[str, tuple[bool, float, Finding]] = {}
    for curve in context.curves_of(context.losses):
        found = _spiked(curve, context.thresholds.spike_deviations)
        if found and found[:2] > worst.get(curve.run_id, (False, 0.0))[:2]:
            worst[curve.run_id] = found
    yield from (finding for _, _, finding in worst.values())


def _spiked(curve: Curve, deviations: float) -> tuple[bool, float, Finding] | None:
    """Returns whether the severity is medium, the height of the spike in levels, and the finding."""
    v = curve.worse
    if len(v) < SPIKE_POINTS or curve.goal == "unknown":
        return None
    level = smooth(v, 2 * _WINDOW + 1)
    above = v - level
    peaks = _peaks(v, above, level, deviations)
    if not len(peaks):
        return None
    top = int(peaks[above[peaks].argmax()])
    start = v[: max(len(v) // 10, 3)].max()
    grave = curve.goal == "lower" and v[top] >= 2 * abs(level[top]) and v[top] > start
    height = float(above[top]) / max(abs(float(level[top])), 1e-12)
    finding = Finding(
        curve.run_id,
        "spike",
        "medium" if grave else "low",
        curve.metric,
        int(curve.steps[top]),
        _evidence(curve, top, len(peaks)),
    )
    return bool(grave), height, finding


def _peaks(v: Floats, above: Floats, level: Floats, deviations: float) -> NDArray[np.int64]:
    """Returns the points that stand out on the worse side."""
    usual = max(ROBUST * median(np.abs(above)), noise(v) / 2, 1e-12)
    high = np.flatnonzero((above > deviations * usual) & (above > 0.5 * np.abs(level)))
    high = high[(high >= max(len(v) // 10, 3)) & (high < len(v) - 2)]
    if not len(high):
        return high
    kth = max(len(v) // 50, 4)
    large = float(np.sort(np.abs(above))[-kth - 1]) if len(v) > kth else 0.0
    return np.array(
        [i for i in high if above[i] > _APART * large and _comes_back(v, int(i), float(above[i]))], dtype=np.int64
    )


def _comes_back(v: Floats, i: int, rise: float) -> bool:
    """Returns whether the points after it lie at the level of those before it, and no point shortly before was as high."""
    before, after = v[max(i - _WINDOW, 0) : i], v[i + 2 : i + 2 + 2 * _WINDOW]
    if not len(after):
        return False
    low = median(before)
    earlier = float(before[:-1].max()) - low if len(before) > 1 else 0.0  # a spike may take two points to rise
    return median(after) - low < 0.5 * rise and earlier < rise / _APART


def _evidence(curve: Curve, top: int, peaks: int) -> str:
    near = ", ".join(
        f"{number(curve.values[i])} at {curve.steps[i]}" for i in range(top - 1, min(top + 2, len(curve.values)))
    )
    points = f"; {peaks} points stand out" if peaks > 1 else ""
    return f"{number(curve.values[top])} at step {curve.steps[top]}: {near}{points}"
