"""The pooled difference between two sides over strata of matched runs, its interval, and whether strata disagree.

    pooled_difference      the comparison of one metric
    without_each           the pooled difference without each run
    spread_of_difference   the standard error over some of the strata

The model is linear with a fixed effect for each stratum, and for each fold within it where the sides share folds: the difference
is the average of the blocks' differences, weighted by n_a n_b / (n_a + n_b). If pairs of equal seeds correlate, seeds are blocks
as well. The error is that of `blocked_errors`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.blocked_errors import (
    BlockedError,
    error_over_folds,
    error_over_strata,
    share_of_variance,
    within,
)
from sweeplens.analyses.matching import Matching, partners_of
from sweeplens.analyses.noise import pooled_spread
from sweeplens.analyses.statistics import TestResult, f_tail, t_quantile, t_tail

_DIGITS = 4  # of values that may be equal by chance
_FEWEST_PAIRS = 3  # pairs for which runs without a partner are left out
_FEWEST_FOLDS = 2  # blocks with runs of both sides; degrees of freedom

__all__ = ["PooledDifference", "pooled_difference", "spread_of_difference", "with_copies", "without_each"]


class PooledDifference(Struct, frozen=True):
    """The pooled difference of a metric, the standard deviation within cells, the strata, and the p of their disagreement."""

    test: TestResult
    sd: float
    strata: pl.DataFrame  # stratum, n_a, n_b, mean_a, mean_b, difference
    p_disagree: float | None
    blocks: tuple[str, ...]  # the repetitions (fold, seed) that are blocks
    pairs: int | None  # where each block has one run a side
    outlying: tuple[str, ...]  # strata that are excluded, as their spread is far larger
    unapplied: tuple[str, ...]  # strata that are excluded, as both sides hold the same values
    rows: pl.DataFrame  # run_id, side, stratum, block (0 where folds are no blocks), value of the pooled runs
    cells: pl.DataFrame  # stratum, block, n_a, n_b, w of the pooled blocks
    every: pl.DataFrame  # all strata: stratum (a number), n_a, n_b, mean_a, mean_b, difference, pooled, w
    copies: int  # runs whose value is that of another run of their side, to the last of many digits; they count once
    unpaired: tuple[str, ...]  # runs that are left out, as their fold or seed has no partner
    repeated: bool  # the error comes from repetitions within strata, not from the spread of the differences of strata


def pooled_difference(matching: Matching, values: pl.DataFrame) -> PooledDifference | None:
    """Returns the pooled comparison of one metric. ``values``: run_id and value.

    Runs whose fold has no run on the other side are left out; those whose seed has no partner, where pairing the others gives the
    smaller error. None if no stratum has both sides, or no error can be estimated.
    """
    rows = with_copies(matching.table.join(values, on="run_id"))
    found = _over_folds(matching, rows) if matching.folds else None
    return found or _with_partners(matching, rows.with_columns(block=pl.lit(0, pl.UInt32)), folds=False)


def _over_folds(matching: Matching, rows: pl.DataFrame) -> PooledDifference | None:
    """Returns the comparison with folds as blocks; None with fewer than two blocks or two degrees of freedom."""
    shared = (
        rows.group_by("stratum", "block").agg(pl.col("side").n_unique().alias("sides")).filter(pl.col("sides") == 2)
    )
    kept = rows.join(shared, on=["stratum", "block"], how="semi", maintain_order="left")
    found = _with_partners(matching, kept, folds=True) if shared.height >= _FEWEST_FOLDS else None
    if found is None or found.test.df < _FEWEST_FOLDS:
        return None
    alone = rows.join(found.rows.select("run_id"), on="run_id", how="anti").join(
        found.every.filter("pooled").select("stratum"), on="stratum", how="semi"
    )  # fmt: skip
    return replace(found, unpaired=tuple(alone["run_id"].sort().to_list()))


def _with_partners(matching: Matching, rows: pl.DataFrame, *, folds: bool) -> PooledDifference | None:
    """Returns the comparison of all rows, or of those with a partner of the same seed if its error is smaller."""
    found = _pooled(matching, rows, folds=folds, once=matching.once and folds == bool(matching.folds))
    if found is None or _has_seeds(found, matching):
        return found
    all_there = rows.height == matching.table.height and folds == bool(matching.folds)
    cells = matching.partners if all_there else partners_of(rows)
    if not _FEWEST_PAIRS <= cells.height < rows.height / 2:
        return found
    partners = rows.join(cells, on=["stratum", "block", "seed"], how="semi", maintain_order="left")
    paired = _pooled(matching, partners, folds=folds, once=True)
    if paired is None or not _has_seeds(paired, matching) or paired.test.error >= found.test.error:
        return found
    alone = rows.join(partners, on="run_id", how="anti")["run_id"].sort().to_list()
    return replace(paired, unpaired=tuple(alone))


def _has_seeds(found: PooledDifference, matching: Matching) -> bool:
    return bool(matching.seeds) and set(matching.seeds) <= set(found.blocks)


def with_copies(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds ``copy``: a number that runs of one side share if their values are equal to the last of many digits.

    They are copies, or differ only in a setting that was never applied, so they tell no more than one of them.
    """
    value = pl.col("value")
    long = value.is_finite() & (value != value.round_sig_figs(_DIGITS))
    rows = rows.with_row_index("copy")
    equal = rows.filter(value.is_duplicated() & long)
    if not equal.height:
        return rows
    first = equal.group_by("side", "value").agg(first=pl.col("copy").min())
    joined = rows.join(first, on=["side", "value"], how="left", maintain_order="left")
    return joined.with_columns(copy=pl.coalesce("first", "copy")).drop("first")


def spread_of_difference(pooled: PooledDifference, strata: Sequence[int]) -> float | None:
    """Returns the standard error of the pooled difference over these strata, by the spread of a run over all strata."""
    chosen = pooled.cells.filter(pl.col("stratum").is_in(list(strata)))
    if not chosen.height or not pooled.repeated:
        return None
    return pooled.sd * math.sqrt(sum(share_of_variance(pooled.rows, chosen, side) for side in "ab"))


def _pooled(matching: Matching, rows: pl.DataFrame, *, folds: bool, once: bool) -> PooledDifference | None:
    """Returns the comparison of these rows.

    ``once``: seeds are once in each stratum, block and side; ``folds``: blocks are folds.
    """
    every = _cells(rows, ["stratum"])
    places: list[int] = every["stratum"].to_list()
    outlying, unapplied = _outlying(every), _unapplied(rows, every)
    if len({*outlying, *unapplied}) == every.height:
        unapplied = []  # applied nowhere else: that the sides are equal is the answer
    every = every.with_columns(pooled=pl.col("stratum").is_in([*outlying, *unapplied]).not_())
    cells = _cells(rows, ["stratum", "block"]) if folds else every.with_columns(block=pl.lit(0, pl.UInt32))
    every = _weighted(every, cells) if folds else every
    strata = every.filter("pooled")
    kept = strata["stratum"].implode()
    rows, cells = rows.filter(pl.col("stratum").is_in(kept)), cells.filter(pl.col("stratum").is_in(kept))
    if not strata.height:
        return None
    pooled = float((strata["w"] * strata["difference"]).sum()) / float(strata["w"].sum())
    error = (error_over_folds if folds else error_over_strata)(rows, cells, strata, once=once)
    if not (error.error > 0 and error.df > 0 and math.isfinite(error.error)):
        return None
    names = pl.Series("stratum", [matching.labels[i] for i in places], dtype=pl.String)
    shown = every.with_columns(names).select("stratum", "n_a", "n_b", "mean_a", "mean_b", "difference")
    apart, same = (tuple(matching.labels[i] for i in found) for found in (outlying, unapplied))
    copies = rows.height - rows["copy"].n_unique()
    blocks = (*(matching.folds if folds else ()), *(matching.seeds if error.seeds else ()))
    p = _disagreement(strata, pooled, (error.sd, error.df) if folds else within(strata))
    repeated = folds or error.seeds or within(strata) is not None
    return PooledDifference(
        _tested(pooled, error), error.sd, shown, p, blocks, _pairs(cells, error, blocks), apart, same, rows, cells, every,
        copies, (), repeated,
    )  # fmt: skip


def _tested(difference: float, error: BlockedError) -> TestResult:
    half = t_quantile(error.df) * error.error
    p = t_tail(difference / error.error, error.df)
    return TestResult("blocked t", difference, difference - half, difference + half, p, error.error, error.df)


def _pairs(cells: pl.DataFrame, error: BlockedError, blocks: Sequence[str]) -> int | None:
    """Returns the number of pairs, where seeds are blocks or each fold has one run a side."""
    alone = bool(blocks) and bool(cells.select(((pl.col("n_a") == 1) & (pl.col("n_b") == 1)).all()).item())
    return int(cells["n_a"].sum()) if error.seeds or alone else None


def _weighted(every: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Returns the strata with means and differences as averages over their blocks, as the linear model weights them."""
    share = pl.col("w") / pl.col("w").sum()
    figures = [(share * pl.col(c)).sum().alias(c) for c in ("mean_a", "mean_b", "difference")]
    own = cells.group_by("stratum").agg(*figures, pl.col("w").sum())
    return every.drop("mean_a", "mean_b", "difference", "w").join(own, on="stratum", maintain_order="left")


def _cells(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Returns one row a cell with runs of both sides: n, distinct, mean, var (without copies), low and high of each side, the
    difference, and its weight."""
    value = pl.col("value")
    has_copies = rows["copy"].n_unique() < rows.height
    distinct = pl.col("copy").is_first_distinct() if has_copies else pl.lit(value=True)
    cells = rows.group_by(*by, "side").agg(
        n=pl.len(), distinct=pl.col("copy").n_unique() if has_copies else pl.len(), mean=value.mean(),
        var=value.filter(distinct).var() if has_copies else value.var(), low=value.min(), high=value.max(),
    )  # fmt: skip
    figures = [c for c in cells.columns if c not in (*by, "side")]
    one, other = (cells.filter(pl.col("side") == s).drop("side").rename({c: f"{c}_{s}" for c in figures}) for s in "ab")
    joined = one.join(other, on=list(by)).sort(by)
    size = pl.col("n_a") * pl.col("n_b") / (pl.col("n_a") + pl.col("n_b")).cast(pl.Float64)
    return joined.with_columns(difference=pl.col("mean_a") - pl.col("mean_b"), w=size)


def _outlying(strata: pl.DataFrame) -> list[int]:
    """Returns strata with a cell of far larger spread than the other cells (half of its runs diverged).

    They would hide every difference, so they are not pooled but named.
    """
    found: set[int] = set()
    for side in "ab":
        spread = pooled_spread(strata[f"distinct_{side}"].to_list(), strata[f"var_{side}"].to_list())
        found |= set(strata["stratum"].gather(list(spread.outlying)).to_list() if spread else ())
    return sorted(found)


def _unapplied(rows: pl.DataFrame, strata: pl.DataFrame) -> list[int]:
    """Returns strata in which both sides hold the same two values or more, to the last digit: the setting was not applied there.

    Pooled with the others they would hide its effect.
    """
    alike = [pl.col(f"{c}_a") == pl.col(f"{c}_b") for c in ("n", "low", "high")]
    few = strata.filter(alike)  # only of these are all values compared
    if not few.height:
        return []
    rows = rows.filter(pl.col("stratum").is_in(few["stratum"].implode()))
    sides = rows.group_by("stratum", "side").agg(pl.col("value").sort()).group_by("stratum", maintain_order=True).agg(
        same=(pl.col("value").n_unique() == 1) & (pl.len() == 2), different=pl.col("value").first().list.n_unique()
    )  # fmt: skip
    return sides.filter(pl.col("same") & (pl.col("different") > 1))["stratum"].sort().to_list()


def without_each(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, without: the pooled difference without that run. ``rows``: those of a pooled difference."""
    value, cell = pl.col("value"), ["stratum", "block", "side"]
    cells = rows.group_by(cell).agg(pl.len().cast(pl.Float64).alias("n"), mean=value.mean(), total=value.sum())
    flipped = pl.when(pl.col("side") == "a").then(pl.lit("b")).otherwise(pl.lit("a"))
    opposite = cells.select("stratum", "block", side=flipped, m=pl.col("n"), other=pl.col("mean"))
    sign = pl.when(pl.col("side") == "a").then(1.0).otherwise(-1.0)
    n, m = pl.col("n"), pl.col("m")
    cells = cells.join(opposite, on=cell).with_columns(
        w=n * m / (n + m), w_less=(n - 1) * m / (n - 1 + m), d=sign * (pl.col("mean") - pl.col("other"))
    )
    strata = cells.filter(pl.col("side") == "a")
    total, summed = float(strata["w"].sum()), float((strata["w"] * strata["d"]).sum())
    rows = rows.join(cells, on=cell).with_columns(less=(pl.col("total") - value) / (n - 1))
    less = pl.when(n > 1).then(pl.col("w_less") * sign * (pl.col("less") - pl.col("other"))).otherwise(0.0)
    pooled = (summed - pl.col("w") * pl.col("d") + less) / (total - pl.col("w") + pl.col("w_less"))
    return rows.select("run_id", without=pooled)


def _disagreement(strata: pl.DataFrame, pooled: float, spread: tuple[float, float] | None) -> float | None:
    """Returns the p of the F test that all strata have the same difference (interaction of side and stratum).

    ``spread``: the standard deviation of a run, and its degrees of freedom.
    """
    if spread is None or strata.height < 2 or not spread[0]:
        return None
    between = float((strata["w"] * (strata["difference"] - pooled) ** 2).sum()) / (strata.height - 1)
    return f_tail(between / spread[0] ** 2, strata.height - 1, spread[1])
