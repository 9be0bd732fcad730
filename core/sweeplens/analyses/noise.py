"""Spread between runs of one setting: the pooled standard deviation within groups, as in an analysis of variance.

A group with a far larger spread than the others (a seed that diverged) would hide every difference, so it is excluded from
the pool and named; comparisons with such a group use its own spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["Spread", "pooled_spread"]

_WILD = 1e-4
_EFFICIENCY = 0.37  # of a median of variances, relative to their mean


class Spread(Struct, frozen=True):
    """Standard deviation within groups, its degrees of freedom, the number of groups pooled, and the excluded groups."""

    sd: float
    df: int
    groups: int
    wild: tuple[int, ...] = ()

    def of_difference(self, n_a: int, n_b: int) -> float:
        """Returns the largest difference between means of two equal sides in 95 % of cases."""
        from sweeplens.analyses.statistics import t_quantile

        return t_quantile(self.df) * self.sd * math.sqrt(1 / n_a + 1 / n_b)


def pooled_spread(counts: Sequence[int], variances: Sequence[float | None]) -> Spread | None:
    """Returns the pooled spread of groups with these sizes and sample variances; None if no group has two runs."""
    repeated = [
        (i, n - 1, v) for i, (n, v) in enumerate(zip(counts, variances, strict=True)) if n > 1 and v is not None
    ]
    wild = _wild(repeated)
    kept = [(df, v) for i, df, v in repeated if i not in wild]
    df = sum(d for d, _ in kept)
    if not df:
        return None
    return Spread(math.sqrt(math.fsum(d * v for d, v in kept) / df), df, len(kept), tuple(sorted(wild)))


def _wild(repeated: Sequence[tuple[int, int, float]]) -> set[int]:
    """Returns groups whose variance, relative to the median, is beyond the 99.99 % quantile of the F distribution."""
    if len(repeated) < 3:
        return set()
    from scipy.special import chdtri, fdtri

    scaled = sorted(v / (float(chdtri(df, 0.5)) / df) for _, df, v in repeated)
    centre = scaled[len(scaled) // 2]
    if centre <= 0:
        return set()
    total = sum(df for _, df, _ in repeated)
    edges = {df: float(fdtri(df, max(1.0, _EFFICIENCY * (total - df)), 1 - _WILD)) for _, df, _ in repeated}
    return {i for i, df, v in repeated if v / centre > edges[df]}
