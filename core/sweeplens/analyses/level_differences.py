"""The difference between two sides at each level of a matched hyperparameter, where levels disagree."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.matching import Matching
from sweeplens.analyses.metric_comparison import MetricComparison
from sweeplens.analyses.pooled_difference import PooledDifference, spread_of_difference
from sweeplens.analyses.statistics import f_tail, t_quantile

__all__ = ["LEVEL_ROW", "level_rows"]

LEVEL_ROW = {
    "a": pl.String(), "b": pl.String(),
    "task": pl.String(), "level": pl.String(), "metric": pl.String(), "n_a": pl.Int64(), "n_b": pl.Int64(),
    "mean_a": pl.Float64(), "mean_b": pl.Float64(), "difference": pl.Float64(), "ci95_low": pl.Float64(),
    "ci95_high": pl.Float64(), "p_disagree": pl.Float64(),
}  # fmt: skip
_MOST_LEVELS = 8
_SURE = 0.05  # p of the test that levels disagree, below which they are shown


def level_rows(
    task: str, case: MetricComparison, matching: Matching | None, *, alone: bool
) -> Iterator[tuple[object, ...]]:
    """Yields the difference at each level of the matched hyperparameters whose levels disagree; of one or two at most.

    ``alone``: there are no other tasks, so levels are shown in any case."""
    pooled = case.pooled
    if pooled is None or matching is None:
        return
    tables = {n: t for n in _free(matching.levels) if (t := _by_level(pooled, matching.levels, n)) is not None}
    sure = {n: p for n, t in tables.items() if (p := _disagreement(pooled, t)) is not None and p < _SURE}
    shown = sorted(sure, key=lambda n: sure[n])[:2]
    shown = shown if not alone else list(tables) if len(tables) < 3 else shown or list(tables)[:1]
    for name in shown:
        for row in tables[name].iter_rows(named=True):
            error = spread_of_difference(pooled, row["strata"]) if row["w"] else None
            half = None if error is None else t_quantile(pooled.test.df) * error
            ends = (None, None) if half is None else (row["difference"] - half, row["difference"] + half)
            figures = (row[c] for c in ("n_a", "n_b", "mean_a", "mean_b", "difference"))
            yield (task, row["level"], case.metric, *figures, *ends, _disagreement(pooled, tables[name]))


def _free(levels: pl.DataFrame) -> list[str]:
    """Returns the hyperparameters that no other one determines (a batch size that was raised with one learning rate only); of those
    that determine each other, the first.
    """
    names = levels.columns[1:]
    order = {n: (levels[n].n_unique(), -i) for i, n in enumerate(names)}
    return [
        n for n in names
        if not any(order[o] > order[n] and levels.select(o, n).n_unique() == order[o][0] for o in names if o != n)
    ]  # fmt: skip


def _by_level(pooled: PooledDifference, levels: pl.DataFrame, name: str) -> pl.DataFrame | None:
    """Returns level, n_a, n_b, mean_a, mean_b, difference, w (0 where no stratum is pooled), strata.

    None for one level, or for too many."""
    rows = pooled.every.join(levels.select("stratum", level=name), on="stratum", maintain_order="left")
    if not 1 < rows["level"].n_unique() <= _MOST_LEVELS:
        return None
    used = pl.col("pooled") | pl.col("pooled").any().over("level").not_()
    weight = pl.col("w") / pl.col("w").sum()
    figures = [(weight * pl.col(c)).sum().alias(c) for c in ("mean_a", "mean_b", "difference")]
    counted = pl.when("pooled").then("w").otherwise(0.0).sum().alias("w ")
    grouped = rows.filter(used).group_by("level", maintain_order=True)
    return grouped.agg(pl.col("n_a", "n_b").sum(), *figures, counted, strata=pl.col("stratum")).rename({"w ": "w"})


def _disagreement(pooled: PooledDifference, levels: pl.DataFrame) -> float | None:
    """Returns the p of the F test that all levels have the same difference."""
    known = levels.filter(pl.col("w") > 0)
    if not pooled.repeated or known.height < 2 or not pooled.sd:
        return None
    between = float((known["w"] * (known["difference"] - pooled.test.difference) ** 2).sum()) / (known.height - 1)
    return f_tail(between / pooled.sd**2, known.height - 1, round(pooled.test.df))
