"""Where a counter falls: did the training go back to train some steps again, or does the counter begin again by itself?

Another counter is asked first: in a later epoch it begins again, in the same or an earlier one the training went back. Then the
place: a counter that begins again does it near its beginning. Then the values: like those that were logged at these steps
before, or like those right before the fall? Then the times: a training that was started again was away for a while. Where
nothing tells, the counter goes on, and nothing is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

import polars as pl
from msgspec import Struct

__all__ = ["CounterLog", "Fall", "judge"]

_LOOKED_AT = 20  # rows after a fall
_MOST = 5  # values of a metric that are compared
_AWAY = 100.0  # times the usual time between two rows
_BUSY = 20.0
_AWAY_MICROS = 60e6
_NEAR_BEGIN = 0.2  # of the steps before the fall


class CounterLog(Struct, frozen=True):
    """The rows of one run: the counter's steps, another counter that means epochs, times in microseconds, and the values."""

    steps: pl.Series
    epochs: pl.Series | None
    walls: pl.Series | None
    long: pl.DataFrame  # row, metric, value


class Fall(Struct, frozen=True):
    """The part of a log before a fall begins at row ``begin``, that after it at ``at`` and ends before ``end``."""

    begin: int
    at: int
    end: int


def judge(falls: Sequence[Fall], log: CounterLog) -> list[bool]:
    """Of each fall, whether the training went back there."""
    return [_went_back(fall, log) for fall in falls]


def _went_back(fall: Fall, log: CounterLog) -> bool:
    for told in (_by_epochs, _by_place, _by_values, _by_times):
        found = told(fall, log)
        if found is not None:
            return found
    return False


def _by_epochs(fall: Fall, log: CounterLog) -> bool | None:
    if log.epochs is None:
        return None
    before, after = log.epochs[fall.at - 1], log.epochs[fall.at]
    return None if before is None or after is None else after <= before


def _by_values(fall: Fall, log: CounterLog) -> bool | None:
    """The vote of the metrics that were logged on both sides and differ enough to tell."""
    rows = pl.col("row")
    until = min(fall.end, fall.at + _LOOKED_AT)
    mine = log.long.filter(rows.is_between(fall.begin, until, closed="left") & pl.col("value").is_finite())
    placed = mine.with_columns(step=log.steps.gather(mine["row"]))
    votes = 0
    for part in placed.partition_by("metric"):
        before, after = (
            list(side.select("step", "value").iter_rows())
            for side in (part.filter(rows < fall.at), part.filter(rows >= fall.at))
        )
        votes += _vote(before, after)
    return None if votes == 0 else votes > 0


def _vote(before: list[tuple[int, float]], after: list[tuple[int, float]]) -> int:
    """1 where the values are like those at the same steps before, -1 where they go on from the last ones, else 0."""
    many = max(1, min(_MOST, len(before) // 3, len(after)))
    after = after[:many]
    if len(before) < 3 or not after:
        return 0
    same = _from(before, after[0][0], many)
    values = [v for _, v in before]
    then, last, now = fmean(same), fmean(values[-many:]), fmean(v for _, v in after)
    bends = [abs(a - 2 * b + c) / 2 for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    noise = fmean(bends) if bends else 0.0
    if not math.isfinite(then - last) or abs(then - last) <= 2 * noise:
        return 0
    return 1 if abs(now - then) < abs(now - last) else -1


def _from(before: list[tuple[int, float]], step: int, many: int) -> list[float]:
    """The values from a step on, or the last ones where there are none."""
    later = [v for s, v in before if s >= step][:many]
    return later or [v for _, v in before[-many:]]


def _by_times(fall: Fall, log: CounterLog) -> bool | None:
    if log.walls is None:
        return None
    times = [t for t in log.walls.slice(fall.begin, fall.at - fall.begin).to_list() if t is not None]
    after = log.walls[fall.at]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    if not gaps or after is None:
        return None
    away, usual = after - times[-1], max(1.0, median(gaps))
    if away >= max(_AWAY * usual, _AWAY_MICROS):
        return True
    return False if away <= _BUSY * usual else None


def _by_place(fall: Fall, log: CounterLog) -> bool | None:
    """A counter that begins again does so near its beginning."""
    first, last, now = (int(log.steps[row]) for row in (0, fall.at - 1, fall.at))
    return None if now <= first + _NEAR_BEGIN * max(0, last - first) else True
