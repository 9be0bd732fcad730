"""Selects the series that can have a finding, in one pass over matrices of series of equal length.

Every bound here is looser than that of the detector, so a series that is not selected has no finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sweeplens.analyses.triage.context import ROBUST
from sweeplens.analyses.triage.level_shift import SHIFT_POINTS, shift_places
from sweeplens.analyses.triage.spikes import SPIKE_POINTS
from sweeplens.config import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

__all__ = ["screen"]

_MARGIN = 0.8  # share of the detector's own limit on speed, which is applied later
_COLUMNS = ("jumps", "leaves", "rests", "slows", "timed")


def screen(frame: pl.DataFrame, limits: Thresholds) -> pl.DataFrame:
    """Returns sid, n, ``jumps`` (it may have a spike), ``leaves`` (divergence, overfitting), ``rests`` (plateau), ``slows``
    (pace), ``timed`` (every point has a time), ``at`` (the row of the series where a new level begins, or -1).

    ``frame``: sid, step, worse, seconds, by sid and step.
    """
    steps, worse, seconds = (frame[c].to_numpy() for c in ("step", "worse", "seconds"))
    starts = np.flatnonzero(np.diff(frame["sid"].to_numpy(), prepend=-1))
    counts = np.diff(np.append(starts, frame.height))
    found = {name: np.zeros(len(starts), dtype=np.bool_) for name in _COLUMNS}
    places = np.full(len(starts), -1, dtype=np.int64)
    for n in np.unique(counts).tolist():
        mine = np.flatnonzero(counts == n)
        rows = np.add.outer(starts[mine], np.arange(n, dtype=np.int64))
        block = worse[rows]
        with np.errstate(all="ignore"):
            noise = ROBUST * _median(np.abs(np.diff(block)))
            found["jumps"][mine] = _jumps(block, noise, limits)
            found["leaves"][mine] = _leaves(block, noise)
            found["rests"][mine] = _rests(block, noise)
            found["timed"][mine] = ~np.isnan(seconds[rows[:, [0, -1]]]).any(axis=1)
            found["slows"][mine] = _slows(seconds[rows], steps[rows], limits)
            if n >= SHIFT_POINTS:
                places[mine] = shift_places(block, noise / 2**0.5)
    sids = frame["sid"].gather(starts)
    return pl.DataFrame({"sid": sids, "n": counts, **found, "at": places})


def _median(block: Floats) -> Floats:
    """Returns the lower median of each row, by selection instead of a sort."""
    n = block.shape[1]
    return np.partition(block, (n - 1) // 2, axis=1)[:, (n - 1) // 2] if n else np.zeros(len(block))


def _jumps(block: Floats, noise: Floats, limits: Thresholds) -> Mask:
    if block.shape[1] < SPIKE_POINTS:
        return np.zeros(len(block), dtype=np.bool_)
    return np.diff(block).max(axis=1) > limits.spike_deviations * noise / 2


def _leaves(block: Floats, noise: Floats) -> Mask:
    """Returns whether the end lies above the best tenth by more than the noise."""
    n = block.shape[1]
    end = np.maximum(_median(block[:, -max(n // 10, 3) :]), _median(block[:, -max(n // 50, 3) :]))
    return end - np.partition(block, n // 10, axis=1)[:, n // 10] > 1.2 * noise


def _rests(block: Floats, noise: Floats) -> Mask:
    """Returns whether the third quarter is as good as the last."""
    n = block.shape[1]
    if n < 4:
        return np.zeros(len(block), dtype=np.bool_)
    half, last = _median(block[:, n // 2 : n // 2 + n // 4]), _median(block[:, -(n // 4) :])
    return (half - last <= np.maximum(0.01 * (block[:, 0] - last), noise / 4)) & (block[:, 0] - last > 2 * noise)


def _slows(seconds: Floats, steps: Ints, limits: Thresholds) -> Mask:
    """Returns whether a step takes longer in the last quarter than in the first half, by the limit."""
    n = seconds.shape[1]
    if n < 8 or np.isnan(seconds[:, 0]).all():
        return np.zeros(len(seconds), dtype=np.bool_)
    each = np.diff(seconds) / np.diff(steps)
    before, after = _median(each[:, : n // 2]), _median(each[:, -(n // 4) :])
    return after >= _MARGIN * before / (1 - limits.throughput_drop)
