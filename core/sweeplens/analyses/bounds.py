"""Intervals of bounded metrics: shares (accuracy, success) and 0/1 values. They stay within the bounds and have a width."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.frames.goal_names import is_share
from sweeplens.probability.beta import beta_quantile

__all__ = ["bounds_of", "cut_at_bounds", "exact_interval", "within_bounds"]


def bounds_of(metric: str, values: pl.Series) -> tuple[float, float] | None:
    """Returns (0, 1) or (0, 100) for a share by name and values, (0, 1) for values that are all 0 or 1; else None."""
    low, high = values.min(), values.max()
    if not isinstance(low, float) or not isinstance(high, float) or low < 0 or high > 100:
        return None
    if high <= 1 and (is_share(metric) or bool(values.is_in([0.0, 1.0]).all())):
        return 0.0, 1.0
    return (0.0, 100.0) if high > 1 and is_share(metric) else None


def cut_at_bounds(table: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Cuts the intervals of ``table`` (metric, ci95_low, ci95_high) at the bounds of shares, known by name and by ``series``."""
    ends = series.group_by("metric").agg(pl.col("min").min(), pl.col("max").max())
    found = [(m, b) for m, low, high in ends.iter_rows() if is_share(m) and (b := bounds_of(m, pl.Series([low, high])))]
    for metric, (low, high) in found:
        mine = pl.col("metric") == metric
        table = table.with_columns(
            pl.when(mine).then(pl.col(c).clip(low, high)).otherwise(pl.col(c)).alias(c)
            for c in ("ci95_low", "ci95_high")
        )
    return table


def within_bounds(table: pl.DataFrame, bounds: tuple[float, float]) -> pl.DataFrame:
    """Bounds the intervals of ``table`` (n, mean, var, values, ci95_low, ci95_high).

    Exact intervals for groups with values only at the bounds or without a spread; other intervals are cut at the bounds.
    """
    low, high = bounds
    at_ends = pl.col("values").list.eval(pl.element().is_in([low, high])).list.all()
    exact = table.select((pl.col("n") > 1) & (at_ends | (pl.col("var") == 0))).to_series()
    cut = table.with_columns(pl.col("ci95_low").clip(low, high), pl.col("ci95_high").clip(low, high))
    if not exact.any():
        return cut
    place = pl.int_range(table.height, eager=True).filter(exact)
    lows, highs = exact_interval(
        ((table["mean"] - low) / (high - low)).gather(place).to_list(), table["n"].gather(place).to_list()
    )
    return cut.with_columns(
        cut["ci95_low"].scatter(place, [bound * (high - low) + low for bound in lows]),
        cut["ci95_high"].scatter(place, [bound * (high - low) + low for bound in highs]),
    )


def exact_interval(shares: Sequence[float], n: Sequence[int]) -> tuple[list[float], list[float]]:
    """Returns Clopper and Pearson's 95 % interval (1934) of shares of n runs; conservative for values between the bounds."""
    known = dict.fromkeys(zip(shares, n, strict=True))
    found = {(share, size): _clopper_pearson(min(max(share, 0.0), 1.0) * size, size) for share, size in known}
    bounds = [found[key] for key in zip(shares, n, strict=True)]
    return [low for low, _ in bounds], [high for _, high in bounds]


def _clopper_pearson(hits: float, size: int) -> tuple[float, float]:
    low = beta_quantile(hits, size - hits + 1, 0.025) if hits > 0 else 0.0
    return low, beta_quantile(hits + 1, size - hits, 0.975) if hits < size else 1.0
