"""Decides where a counter falls whether the training went back and repeated steps, or the counter restarted.

The evidence is used in this order. Epochs: in a later epoch the counter restarted; in the same or an earlier one the training
went back. Position: a counter restarts near its first value. Values: those after the reset resemble either the earlier values at
the same steps or the last values before the reset. Times: before a resumed training there is a long pause. Without evidence the
counter counts as restarted, so no value is hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

import polars as pl
from msgspec import Struct

__all__ = ["CounterLog", "StepReset", "went_back"]

_LOOKED_AT = 20  # rows after a reset
_MOST = 5  # values of a metric that are compared
_PAUSE = 100.0  # of a resumed training, in usual times between two rows
_NO_PAUSE = 20.0
_PAUSE_MICROS = 60e6
_NEAR_BEGIN = 0.2  # of the steps before the reset


class CounterLog(Struct, frozen=True):
    """The rows of one run: a counter's steps, the epochs of another counter, times in microseconds, and the values."""

    steps: pl.Series
    epochs: pl.Series | None
    walls: pl.Series | None
    long: pl.DataFrame  # row, metric, value


class StepReset(Struct, frozen=True):
    """A fall of a counter. The part before it begins at row ``begin``; the part after it is rows ``at`` to ``end``, exclusive."""

    begin: int
    at: int
    end: int


def went_back(resets: Sequence[StepReset], log: CounterLog) -> list[bool]:
    """Returns, for each reset, whether the training went back."""
    return [_is_rewind(reset, log) for reset in resets]


def _is_rewind(reset: StepReset, log: CounterLog) -> bool:
    for evidence in (_by_epochs, _by_place, _by_values, _by_times):
        found = evidence(reset, log)
        if found is not None:
            return found
    return False


def _by_epochs(reset: StepReset, log: CounterLog) -> bool | None:
    if log.epochs is None:
        return None
    before, after = log.epochs[reset.at - 1], log.epochs[reset.at]
    return None if before is None or after is None else after <= before


def _by_values(reset: StepReset, log: CounterLog) -> bool | None:
    """Returns the vote of the metrics that have values on both sides and differ enough; None for a tie."""
    rows = pl.col("row")
    until = min(reset.end, reset.at + _LOOKED_AT)
    mine = log.long.filter(rows.is_between(reset.begin, until, closed="left") & pl.col("value").is_finite())
    placed = mine.with_columns(step=log.steps.gather(mine["row"]))
    votes = 0
    for part in placed.partition_by("metric"):
        before, after = (
            list(side.select("step", "value").iter_rows())
            for side in (part.filter(rows < reset.at), part.filter(rows >= reset.at))
        )
        votes += _vote(before, after)
    return None if votes == 0 else votes > 0


def _vote(before: list[tuple[int, float]], after: list[tuple[int, float]]) -> int:
    """Returns 1 where the values resemble earlier ones at the same steps, -1 where they continue the last ones, else 0."""
    many = max(1, min(_MOST, len(before) // 3, len(after)))
    after = after[:many]
    if len(before) < 3 or not after:
        return 0
    same = _values_from(before, after[0][0], many)
    values = [v for _, v in before]
    then, last, now = fmean(same), fmean(values[-many:]), fmean(v for _, v in after)
    bends = [abs(a - 2 * b + c) / 2 for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    noise = fmean(bends) if bends else 0.0
    if not math.isfinite(then - last) or abs(then - last) <= 2 * noise:
        return 0
    return 1 if abs(now - then) < abs(now - last) else -1


def _values_from(before: list[tuple[int, float]], step: int, many: int) -> list[float]:
    """Returns the first values from a step on; the last values where there are none."""
    later = [v for s, v in before if s >= step][:many]
    return later or [v for _, v in before[-many:]]


def _by_times(reset: StepReset, log: CounterLog) -> bool | None:
    if log.walls is None:
        return None
    times = [t for t in log.walls.slice(reset.begin, reset.at - reset.begin).to_list() if t is not None]
    after = log.walls[reset.at]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if not gaps or after is None:
        return None
    pause, usual = after - times[-1], max(1.0, median(gaps))
    if pause >= max(_PAUSE * usual, _PAUSE_MICROS):
        return True
    return False if pause <= _NO_PAUSE * usual else None


def _by_place(reset: StepReset, log: CounterLog) -> bool | None:
    """Returns True where the counter falls to a value far from its first one; else None."""
    first, last, now = (int(log.steps[row]) for row in (0, reset.at - 1, reset.at))
    return None if now <= first + _NEAR_BEGIN * max(0, last - first) else True
