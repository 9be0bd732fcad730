"""Levels of one hyperparameter: the best one, the direction of improvement, and interactions of two hyperparameters.

Up to eight distinct values are levels; more numbers are cut into five levels with equal numbers of runs, so linear and
logarithmic scales give the same levels.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.statistics import ALPHA, f_tail, mean, t_tail, variance

__all__ = ["Levels", "direction_of", "interaction_of", "levels_of", "matters", "ranks_of", "where_set"]

_MOST_LEVELS = 8
_CUTS = 5
UNSET = "(not set)"
NONE = "null"


class Levels(Struct, frozen=True):
    """The level of each run, the levels' names in order, and whether they are ordered (numbers)."""

    codes: tuple[int, ...]
    names: tuple[str, ...]
    ordered: bool

    def groups(self, values: Sequence[float]) -> list[list[float]]:
        """The values of each level."""
        parts: list[list[float]] = [[] for _ in self.names]
        for code, value in zip(self.codes, values, strict=True):
            parts[code].append(value)
        return parts


def levels_of(column: pl.Series, *, none: bool = False) -> Levels:
    """Returns the levels of a hyperparameter. Null is the last level: the value None if ``none``, else unset."""
    known = sorted(set(column.drop_nulls().to_list()))
    numeric = column.dtype.is_numeric()
    if numeric and len(known) > _MOST_LEVELS:
        return _cut(column, NONE if none else UNSET)
    place = {v: i for i, v in enumerate(known)}
    names = [_text(v) for v in known] + [NONE if none else UNSET] * (column.null_count() > 0)
    codes = tuple(len(known) if v is None else place[v] for v in column.to_list())
    return Levels(codes, tuple(names), numeric and not column.null_count())


def _cut(column: pl.Series, missing: str) -> Levels:
    known = sorted(column.drop_nulls().to_list())
    edges = sorted({known[len(known) * (i + 1) // _CUTS - 1] for i in range(_CUTS)})
    codes = [len(edges) if v is None else bisect_left(edges, v) for v in column.to_list()]
    firsts = [known[0], *(known[bisect_right(known, e)] for e in edges[:-1])]
    names = [
        _text(one) if one == last else f"{_text(one)} to {_text(last)}" for one, last in zip(firsts, edges, strict=True)
    ]
    names += [missing] * (column.null_count() > 0)
    return Levels(tuple(codes), tuple(names), not column.null_count())


def where_set(levels: Levels, values: Sequence[float], *, numeric: bool) -> tuple[Levels, list[float]]:
    """Returns levels and values of the runs that have the hyperparameter, if that leaves two levels or more."""
    if UNSET not in levels.names or len(levels.names) < 3:
        return levels, list(values)
    kept = [(c, v) for c, v in zip(levels.codes, values, strict=True) if levels.names[c] != UNSET]
    return Levels(tuple(c for c, _ in kept), levels.names[:-1], numeric), [v for _, v in kept]


def ranks_of(column: pl.Series) -> list[float]:
    """Returns dense ranks of the values; missing values rank lowest."""
    return column.rank("dense").cast(pl.Float64).fill_null(0.0).to_list()


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def matters(groups: Sequence[Sequence[float]]) -> float | None:
    """Returns the p of a one-way analysis of variance (Fisher's F test); None where it cannot be computed."""
    known = [g for g in groups if g]
    df_within = sum(len(g) - 1 for g in known)
    if len(known) < 2 or df_within < 1:
        return None
    every = [v for g in known for v in g]
    centre = mean(every)
    between = math.fsum(len(g) * (mean(g) - centre) ** 2 for g in known) / (len(known) - 1)
    within = _within(known, df_within)
    return _f_tail(between, within, len(known) - 1, df_within)


def _f_tail(above: float, below: float, df_above: int, df_below: int) -> float | None:
    if below <= 0:
        return None if above <= 0 else 0.0
    return f_tail(above / below, df_above, df_below)


def _within(groups: Sequence[Sequence[float]], df: int) -> float:
    return math.fsum((len(g) - 1) * variance(g) for g in groups if len(g) > 1) / df if df else 0.0


def direction_of(levels: Levels, goodness: Sequence[float]) -> str:
    """Returns ``higher is better``, ``lower is better`` or ``not monotonic`` for numbers, else the best level's name.

    Not monotonic: an inner level is significantly better than the better end, or significantly worse than the worse end (see
    `_apart`). ``goodness``: higher is better.
    """
    groups = levels.groups(goodness)
    means = [mean(g) for g in groups]
    best, worst, last = means.index(max(means)), means.index(min(means)), len(means) - 1
    if not levels.ordered:
        return f"best: {levels.names[best]}"
    rising = _slope(levels.codes, goodness) > 0
    top, bottom = (last, 0) if rising else (0, last)
    turned = _apart(groups, best, top) or _apart(groups, worst, bottom)
    return "not monotonic" if turned else f"{'higher' if rising else 'lower'} is better"


def _slope(codes: Sequence[int], goodness: Sequence[float]) -> float:
    centre, middle = mean(goodness), mean([float(c) for c in codes])
    return math.fsum((c - middle) * (v - centre) for c, v in zip(codes, goodness, strict=True))


def _apart(groups: Sequence[Sequence[float]], one: int, other: int) -> bool:
    """Whether two levels differ significantly: Welch's test where both are repeated, so that a level which diverges hides no
    difference between others, else a t test with the spread within all levels; without any repetition, whether means differ."""
    if one == other:
        return False
    a, b = groups[one], groups[other]
    gap = abs(mean(a) - mean(b))
    if min(len(a), len(b)) > 1 and variance(a) + variance(b) > 0:
        parts = [variance(g) / len(g) for g in (a, b)]
        df = sum(parts) ** 2 / sum(p**2 / (len(g) - 1) for p, g in zip(parts, (a, b), strict=True))
        return t_tail(gap / math.sqrt(sum(parts)), df) < ALPHA
    df = sum(len(g) - 1 for g in groups)
    within = _within(groups, df)
    if within <= 0:
        return gap > 0
    return t_tail(gap / math.sqrt(within * (1 / len(a) + 1 / len(b))), df) < ALPHA


def interaction_of(one: Levels, other: Levels, values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the share of the variance that two hyperparameters explain beyond their sum, and its p (two-way F test).

    None where no cell holds two runs, or where the grid leaves no degrees of freedom for an interaction.
    """
    import numpy as np

    y = np.array(values) - mean(values)
    cells = sorted(set(zip(one.codes, other.codes, strict=True)))
    place = {c: i for i, c in enumerate(cells)}
    of_cell = np.eye(len(cells))[[place[c] for c in zip(one.codes, other.codes, strict=True)]]
    added = np.hstack([np.eye(len(one.names))[list(one.codes)], np.eye(len(other.names))[list(other.codes)]])
    rank = int(np.linalg.matrix_rank(added))
    df_between, df_within = len(cells) - rank, len(y) - len(cells)
    if df_between < 1 or df_within < 1:
        return None
    rest, full = (float(((y - m @ np.linalg.lstsq(m, y, rcond=None)[0]) ** 2).sum()) for m in (added, of_cell))
    within = full / df_within
    p = _f_tail((rest - full) / df_between, within, df_between, df_within)
    total = float((y**2).sum())
    return None if p is None else (max(0.0, (rest - full - df_between * within) / total), p)
