"""Tests groups against the best one, where the best was chosen after looking at all of them.

The gap to the best is compared with the studentised range of all groups (Tukey, Kramer), the gap between best and worst of k
equal groups; in steps: the group with the smallest p against the range of k, the next against that of k - 1, and so on
(Welsch 1977). docs/statistics.md states error rates, measured by `benchmarks/error_rates.py`.

The spread is pooled only where Bartlett's test does not reject equal spreads (p of at least 25 %, 50 % where groups have two
runs) and sizes are similar; else each pair has its own standard error and Satterthwaite's degrees of freedom (Games, Howell
1976), and never a smaller error than the pooled one, outlying groups excluded. A pair with a group of two runs always has the
larger of both errors: Bartlett's test hardly sees an outlying group of two. Groups of one run have the pooled spread. Where all
groups have the same seeds, and seeds shift all groups alike (F test at 1 %), seeds are blocks: their effect is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import polars as pl
from msgspec import Struct

from sweeplens.analyses.noise import pooled_spread
from sweeplens.analyses.ranges import range_tails
from sweeplens.analyses.statistics import chi2_tail, f_tail
from sweeplens.probability.student_t import t_tail
from sweeplens.probability.student_t_arrays import t_tails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

Numbers: TypeAlias = Sequence[float] | pl.Series

__all__ = ["GapSignificance", "gap_significance", "shrunk", "single_runs", "without_blocks"]

_MOST_GROUPS = 1000
_EQUAL, _EQUAL_PAIRS = 0.25, 0.5
_ALIKE = 2  # the largest group is at most so many times the smallest
_BLOCKS = 0.01


class GapSignificance(Struct, frozen=True):
    """The adjusted p of each row against the first (None where unknown), and the name of the method."""

    p: list[float | None]
    method: str


def gap_significance(
    n: Numbers, means: Numbers, variances: Sequence[float | None] | pl.Series, df: Sequence[float] = ()
) -> GapSignificance:
    """Tests rows, in order of rank, against the first. ``df``: degrees of freedom of the variances, n - 1 when not given."""
    import numpy as np

    size, mean = np.array(n, dtype=np.float64), np.array(means, dtype=np.float64)
    own = _as_floats(variances)
    known = ~np.isnan(own) & (size > 1)
    if len(size) < 2 or not known.any():
        return GapSignificance([None] * len(size), "")
    own = np.where(np.isnan(own), 0.0, own)
    freedom = np.where(known, np.array(df) if len(df) else size - 1, 0.0)
    pooled, total = float((freedom * own).sum() / freedom.sum()), float(freedom.sum())
    if not 0 < pooled < np.inf:
        return GapSignificance([None] * len(size), "")
    with np.errstate(all="ignore"):  # values near the largest float give no claim
        equal = _equal_spreads(own[known], freedom[known], size[known])
        calm = (pooled, total) if equal else _without_outlying(n, variances, freedom, pooled, total)
        common = calm[0] * (1 / size[1:] + 1 / size[0])
        part, each = np.where(known, own, calm[0]) / size, np.where(known, freedom, calm[1])
        square: Array = part[1:] + part[0]
        free: Array = square**2 / (part[1:] ** 2 / each[1:] + part[0] ** 2 / each[0])
        of_two = (size[1:] == 2) | (size[0] == 2)
        square = np.where(of_two | (not equal), square, common)
        least = np.where(of_two, 0.0, calm[1] / 2)
        free = np.where(square > common, free, calm[1] if equal else np.clip(free, least, calm[1]))
        t = np.abs(mean[1:] - mean[0]) / np.sqrt(np.maximum(square, common))
    t, free = np.where(np.isnan(t), 0.0, t), np.where(np.isfinite(free) & (free > 0), free, 1.0)
    return GapSignificance([None, *_stepped(t, free).tolist()], _named(equal=equal, k=len(size)))


def _without_outlying(
    n: Numbers, variances: Sequence[float | None] | pl.Series, df: Array, pooled: float, total: float
) -> tuple[float, float]:
    """Returns the pooled variance and its degrees of freedom without groups of a far larger spread than the others."""
    spread = pooled_spread(n, variances)
    if spread is None or not spread.outlying or spread.sd <= 0:
        return pooled, total
    return spread.sd**2, total - float(df[list(spread.outlying)].sum())


def single_runs(means: Numbers, sd: float, df: int) -> GapSignificance:
    """Tests single runs, in order of rank, against the first, by the spread ``sd`` of runs of one setting."""
    import numpy as np

    mean = np.array(means, dtype=np.float64)
    with np.errstate(all="ignore"):
        t = np.abs(mean[1:] - mean[0]) / (sd * np.sqrt(2))
    return GapSignificance(
        [None, *_stepped(np.nan_to_num(t), np.full(len(t), float(df))).tolist()][: len(mean)],
        _named(equal=True, k=len(mean)),
    )


def _named(*, equal: bool, k: int) -> str:
    name = "Tukey-Kramer" if equal else "Games-Howell"
    return f"{name}, stepwise" if k <= _MOST_GROUPS else "Bonferroni over all pairs"


def _equal_spreads(variances: Array, df: Array, n: Array) -> bool:
    """Whether Bartlett's test allows pooling; never where sizes differ by more than twice. One repeated group alone is pooled."""
    import numpy as np

    if len(variances) < 2:
        return True
    if n.max() > _ALIKE * n.min() or not (variances > 0).all():
        return False
    total = df.sum()
    pooled = (df * variances).sum() / total
    scale = 1 + ((1 / df).sum() - 1 / total) / (3 * (len(df) - 1))
    statistic = float((total * np.log(pooled) - (df * np.log(variances)).sum()) / scale)
    return chi2_tail(statistic, len(df) - 1) >= (_EQUAL if n.min() > 2 else _EQUAL_PAIRS)


def _stepped(t: Array, df: Array) -> Array:
    """Returns step-down p values of the followers."""
    import numpy as np

    k = len(t) + 1
    if k > _MOST_GROUPS:
        return np.minimum(2 * t_tails(df, t) * (k * (k - 1) / 2), 1.0)
    plain = 2 * np.array([t_tail(free, size) for size, free in zip(t.tolist(), df.tolist(), strict=True)])
    order = np.argsort(plain, kind="stable")
    adjusted = np.empty_like(t)
    adjusted[order] = np.maximum.accumulate(range_tails(t[order] * np.sqrt(2), k - np.arange(k - 1), df[order]))
    return adjusted


def without_blocks(values: Array) -> tuple[Array, float] | None:
    """Returns the variance of each group without the seed effect, and its degrees of freedom. ``values``: groups x seeds.

    None where seeds do not shift all groups alike."""
    k, n = (int(length) for length in values.shape)
    if k < 2 or n < 2:
        return None
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    df = (k - 1) * (n - 1)
    within = float((rest**2).sum()) / df
    between = k * float(values.mean(axis=0).var(ddof=1))
    if not within > 0 or f_tail(between / within, n - 1, df) >= _BLOCKS:
        return None
    return (rest**2).sum(axis=1) * k / df, df / k


def shrunk(n: Numbers, means: Numbers, variances: Sequence[float | None] | pl.Series) -> list[float | None]:
    """Returns each mean shrunk towards the mean of all (empirical Bayes; Efron, Morris 1975).

    The best of many owes part of its lead to chance. None below three groups or without repeated runs.
    """
    import numpy as np

    size, mean, own = np.array(n, dtype=np.float64), np.array(means, dtype=np.float64), _as_floats(variances)
    freedom = np.where(np.isnan(own) | (size < 2), 0.0, size - 1)
    if len(size) < 3 or not freedom.any():
        return [None] * len(size)
    with np.errstate(all="ignore"):  # values near the largest float give None
        spread = pooled_spread(n, variances)
        pooled = spread.sd**2 if spread else float(np.nansum(freedom * own) / freedom.sum())
        error = np.full(len(size), pooled)
        outlying = list(spread.outlying) if spread else []
        error[outlying] = own[outlying]
        error /= size
        between = max(0.0, float(mean.var(ddof=1)) - float(error.mean()))
        drawn = mean.mean() + between / (between + error) * (mean - mean.mean())
    return pl.Series(drawn).fill_nan(None).replace([np.inf, -np.inf], None).to_list()


def _as_floats(values: Sequence[float | None] | pl.Series) -> Array:
    """The numbers as an array, NaN for None."""
    import numpy as np

    return np.array(values, dtype=np.float64)
