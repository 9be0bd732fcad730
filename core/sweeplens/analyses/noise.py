"""Spread between runs of one setting: the pooled standard deviation within groups, as in an analysis of variance.

A group with a far larger spread than the others (a seed that diverged) would hide every difference, so it is excluded from
the pool and named; comparisons with such a group use its own spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl
from msgspec import Struct

from sweeplens.probability.beta import f_quantile
from sweeplens.probability.gamma import chi2_upper_quantile

__all__ = ["Spread", "pooled_spread"]

_WILD = 1e-4
_EFFICIENCY = 0.37  # of a median of variances, relative to their mean


class Spread(Struct, frozen=True):
    """Standard deviation within groups, its degrees of freedom, the number of groups pooled, and the excluded groups."""

    sd: float
    df: int
    groups: int
    outlying: tuple[int, ...] = ()

    def of_difference(self, n_a: int, n_b: int) -> float:
        """Returns the largest difference between means of two equal sides in 95 % of cases."""
        from sweeplens.analyses.statistics import t_quantile

        return t_quantile(self.df) * self.sd * math.sqrt(1 / n_a + 1 / n_b)


def pooled_spread(counts: Sequence[float] | pl.Series, variances: Sequence[float | None] | pl.Series) -> Spread | None:
    """Returns the pooled spread of groups with these sizes and sample variances; None if no group has two runs."""
    groups = pl.DataFrame({"n": counts, "v": variances}, schema_overrides={"n": pl.Int64, "v": pl.Float64})
    repeated = groups.with_row_index("group").filter(pl.col("n") > 1).drop_nulls("v").with_columns(df=pl.col("n") - 1)
    if not repeated.height:
        return None
    outlying = _outlying(repeated)
    kept = repeated.filter(~outlying)
    df = int(kept["df"].sum())
    if not df:
        return None
    pooled = float((kept["df"] * kept["v"]).sum()) / df
    return Spread(math.sqrt(pooled), df, kept.height, tuple(repeated.filter(outlying)["group"].to_list()))


def _outlying(repeated: pl.DataFrame) -> pl.Series:
    """Returns whether the variance of each group, relative to the median, is beyond the 99.99 % quantile of the F distribution."""
    none = pl.repeat(False, repeated.height, dtype=pl.Boolean, eager=True)
    if repeated.height < 3:
        return none
    sizes: list[int] = repeated["df"].unique().to_list()
    middles = {df: chi2_upper_quantile(df, 0.5) / df for df in sizes}
    scaled = (repeated["v"] / repeated["df"].replace_strict(middles, return_dtype=pl.Float64)).sort()
    centre = float(scaled[repeated.height // 2])
    if centre <= 0:
        return none
    total = int(repeated["df"].sum())
    edges = {df: f_quantile(df, max(1.0, _EFFICIENCY * (total - df)), 1 - _WILD) for df in sizes}
    return repeated["v"] / centre > repeated["df"].replace_strict(edges, return_dtype=pl.Float64)
