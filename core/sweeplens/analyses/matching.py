"""Matched comparison: two sides are compared within strata of runs that are equal in everything else that varies.

    match_sides         the hyperparameters to match on, runs with a counterpart, and confounded hyperparameters
    pooled_difference   the pooled difference over strata of one metric, its interval, and whether strata disagree

The model is linear with a fixed effect for each stratum: the difference is the average of the strata's differences, weighted
by n_a n_b / (n_a + n_b). If pairs of equal seeds within strata correlate, seeds are blocks as well. The error comes from
the spread within stratum and side; without repetitions there, from the spread of the strata's differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.batch_products import with_batch_products
from sweeplens.analyses.noise import pooled_spread
from sweeplens.analyses.sides import Sides
from sweeplens.analyses.statistics import TestResult, f_tail, pairing_increases_power, t_quantile, t_tail
from sweeplens.frames.grouping import free_names, is_replicate, keyed, same_split, settings_among, varying_hparams
from sweeplens.frames.many_columns import value_sets

_TAKEN = ("side", "sides", "stratum", "seed", "runs")  # columns of the tables here
_DIGITS = 4  # of values that may be equal by chance
_MOST_RELAXED = 30  # hyperparameters of which some may be left out
_FEWEST_PAIRS = 3  # pairs for which runs without a partner are left out

__all__ = [
    "Matching",
    "PooledDifference",
    "match_sides",
    "pooled_difference",
    "seeds_once",
    "spread_of_difference",
    "without_each",
]


class Matching(Struct, frozen=True, dict=True):
    """``table``: run_id, side (a, b), stratum, seed (a number); only strata with runs of both sides.

    ``once``: each run has a seed, and no two of a side in one stratum share it.
    """

    table: pl.DataFrame
    by: tuple[str, ...]
    labels: tuple[str, ...]  # of the strata, in order
    levels: pl.DataFrame  # stratum, and for each hyperparameter that names strata its level as text
    never_equal: tuple[str, ...]  # also vary, without a value that both sides share
    alone: tuple[str, ...]  # runs without a counterpart
    once: bool
    factors: tuple[str, ...] = ()  # hyperparameters of which the product is matched

    @cached_property
    def partners(self) -> pl.DataFrame:
        """The cells of `_partners` where all runs have a value, made once for all metrics."""
        return _partners(self.table)


class PooledDifference(Struct, frozen=True):
    """The pooled difference of a metric, the standard deviation within cells, the strata, and the p of their disagreement."""

    test: TestResult
    sd: float
    strata: pl.DataFrame  # stratum, n_a, n_b, mean_a, mean_b, difference
    p_disagree: float | None
    seeds_as_blocks: bool
    outlying: tuple[str, ...]  # strata that are excluded, as their spread is far larger
    unapplied: tuple[str, ...]  # strata that are excluded, as both sides hold the same values
    rows: pl.DataFrame  # run_id, side, value of the pooled runs
    every: pl.DataFrame  # all strata: stratum (a number), n_a, n_b, mean_a, mean_b, difference, pooled, w
    copies: int  # runs whose value is that of another run of their side, to the last of many digits; they count once
    unpaired: tuple[str, ...]  # runs that are left out, as their seed has no partner
    repeated: bool  # the error comes from repetitions within strata, not from the spread of the differences of strata


def match_sides(
    runs: pl.DataFrame, sides: Sides, replicates: Sequence[str], ignore: Sequence[str] = ()
) -> Matching | None:
    """Matches runs of the two sides; None if only ``ignore`` varies within the sides, or no run has a counterpart."""
    both = sides.runs_of(runs)
    names = [n for n in varying_hparams(both) if n not in ignore]
    seeds = [n for n in names if is_replicate(both, n, replicates)]
    names = settings_among(both, names, replicates)
    both, names, factors = with_batch_products(both, names)
    both, free = free_names(both, [*names, *seeds], _TAKEN)
    names, seeds = free[: len(names)], free[len(names) :]
    table = keyed(both, free).with_columns(
        side=pl.when(pl.col("run_id").is_in(sides.ids_a)).then(pl.lit("a")).otherwise(pl.lit("b"))
    )
    of_sides = [table.filter(pl.col("side") == side) for side in "ab"]
    one, other = (value_sets([t[n] for n in names]) for t in of_sides)
    shared = [n for n, ours, theirs in zip(names, one, other, strict=True) if ours & theirs]
    shared = _with_counterparts(table, shared)
    never = tuple(n for n in names if n not in shared)
    if not shared:
        return None
    seed = (
        pl.concat_str([pl.col(s).cast(pl.String) for s in seeds], separator=" ", ignore_nulls=True)
        if seeds
        else pl.lit(None, pl.String)
    )
    rows = table.with_columns(seed=seed)
    cells = rows.group_by(shared).agg(pl.col("side").n_unique().alias("sides")).filter(pl.col("sides") == 2)
    cells = cells.drop("sides").sort(shared, nulls_last=True).with_row_index("stratum")
    matched = rows.join(cells, on=shared, how="inner", nulls_equal=True, maintain_order="left")
    alone = rows.join(cells, on=shared, how="anti", nulls_equal=True) if matched.height < rows.height else rows.clear()
    shown = [names[0] for names in same_split(both, shared)]  # of those that split the runs alike, one names a stratum
    levels = cells.select("stratum", *(_named_values(cells[n]).alias(n) for n in shown))
    labels = tuple(levels.select(pl.concat_str(shown, separator=", ")).to_series().to_list())
    seed = pl.col("seed").cast(pl.Categorical).to_physical()  # numbers are joined faster than texts
    kept = matched.select("run_id", "side", "stratum", seed)
    order = ["stratum", "side"] if kept["run_id"].is_sorted() else ["stratum", "side", "run_id"]
    kept = kept.sort(order, maintain_order=True)
    lone = tuple(alone["run_id"].sort().to_list())
    return Matching(kept, tuple(shared), labels, levels, never, lone, seeds_once(kept), factors)


def _with_counterparts(table: pl.DataFrame, shared: Sequence[str]) -> list[str]:
    """Returns the hyperparameters, of those with a value that both sides share, in which some runs of the sides are equal together.

    If no runs are equal in all, one after the other is left out: that without which most runs have a counterpart; of several, the
    one with the fewest levels, or with the most if none have a counterpart yet.
    """
    kept = list(shared)
    while kept and not _n_matched(table, kept):
        if len(kept) == 1 or len(kept) > _MOST_RELAXED:
            return []
        fewer = {n: _n_matched(table, [k for k in kept if k != n]) for n in kept}
        order = {n: (found, -table[n].n_unique() if found else table[n].n_unique()) for n, found in fewer.items()}
        kept.remove(max(kept, key=order.__getitem__))
    return kept


def _n_matched(table: pl.DataFrame, names: Sequence[str]) -> int:
    """Returns the number of runs with a counterpart."""
    cells = table.group_by(names).agg(pl.col("side").n_unique().alias("sides"), pl.len().alias("runs"))
    return int(cells.filter(pl.col("sides") == 2)["runs"].sum())


def seeds_once(table: pl.DataFrame) -> bool:
    """Returns whether each run has a seed, and no two of a side in one stratum share it."""
    return (
        not table["seed"].null_count()
        and not table.select(pl.struct("stratum", "side", "seed").is_duplicated().any()).item()
    )


def _named_values(column: pl.Series) -> pl.Series:
    """Returns ``name=value`` of each row; each value is put into words once."""
    known = column.cast(pl.String) if column.dtype == pl.Categorical else column
    values = known.drop_nulls().unique()
    texts = [f"{column.name}={_text(v)}" for v in values.to_list()]
    drawn = known.replace_strict(values, texts, default=None, return_dtype=pl.String)
    return drawn.fill_null(f"{column.name}={_text(None)}")


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "(not set)" if value is None else str(value)


def pooled_difference(matching: Matching, values: pl.DataFrame) -> PooledDifference | None:
    """Returns the pooled comparison of one metric. ``values``: run_id and value.

    Runs whose seed has no partner on the other side are left out where pairing the others gives the smaller error. None if no
    stratum has both sides, or no error can be estimated.
    """
    rows = _with_copies(matching.table.join(values, on="run_id"))
    found = _pooled(matching, rows, once=matching.once)
    if found is None or found.seeds_as_blocks:
        return found
    cells = matching.partners if rows.height == matching.table.height else _partners(rows)
    if not _FEWEST_PAIRS <= cells.height < rows.height / 2:
        return found
    partners = rows.join(cells, on=["stratum", "seed"], how="semi")
    paired = _pooled(matching, partners, once=True)
    if paired is None or not paired.seeds_as_blocks or paired.test.error >= found.test.error:
        return found
    alone = rows.join(partners, on="run_id", how="anti")["run_id"].sort().to_list()
    return replace(paired, unpaired=tuple(alone))


def _with_copies(rows: pl.DataFrame) -> pl.DataFrame:
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
    chosen = pooled.every.filter(pl.col("pooled") & pl.col("stratum").is_in(list(strata)))
    if not chosen.height or not pooled.repeated:
        return None
    return pooled.sd * math.sqrt(sum(_share_of_variance(pooled.rows, chosen, side) for side in "ab"))


def _share_of_variance(rows: pl.DataFrame, strata: pl.DataFrame, side: str) -> float:
    """Returns the variance of a side's part of the pooled difference, in variances of a run; copies count as one run."""
    n = pl.col(f"n_{side}").cast(pl.Float64)
    weights = strata.select("stratum", n.alias("n"), each=pl.col("w") / pl.col("w").sum() / n)
    own = rows.filter(pl.col("side") == side)
    if own["copy"].n_unique() == own.height:  # then each run of a stratum weighs the same
        return float((weights["n"] * weights["each"] ** 2).sum())
    own = own.join(weights, on="stratum")
    return float((own.group_by("copy").agg(pl.col("each").sum())["each"] ** 2).sum())


def _partners(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the cells (stratum, seed) with one run on each side."""
    known = rows.filter(pl.col("seed").is_not_null())
    cells = known.group_by("stratum", "seed").agg(n=pl.len(), on_a=(pl.col("side") == "a").sum())
    return cells.filter(pl.col("n") == 2, pl.col("on_a") == 1).select("stratum", "seed")


def _pooled(matching: Matching, rows: pl.DataFrame, *, once: bool) -> PooledDifference | None:
    every = _strata(rows)
    places: list[int] = every["stratum"].to_list()
    outlying, unapplied = _outlying(every), _unapplied(rows, every)
    if len({*outlying, *unapplied}) == every.height:
        unapplied = []  # applied nowhere else: that the sides are equal is the answer
    every = every.with_columns(
        pooled=pl.col("stratum").is_in([*outlying, *unapplied]).not_(),
        w=pl.col("n_a") * pl.col("n_b") / (pl.col("n_a") + pl.col("n_b")).cast(pl.Float64),
    )
    strata = every.filter("pooled")
    rows = rows.filter(pl.col("stratum").is_in(strata["stratum"].implode()))
    if not strata.height:
        return None
    total = float(strata["w"].sum())
    pooled = float((strata["w"] * strata["difference"]).sum()) / total
    error, df, sd, seeds = _error(rows, strata, total, once=once)
    if not (error > 0 and df > 0 and math.isfinite(error)):
        return None
    half = t_quantile(df) * error
    test = TestResult("blocked t", pooled, pooled - half, pooled + half, t_tail(pooled / error, df), error, df)
    names = pl.Series("stratum", [matching.labels[i] for i in places], dtype=pl.String)
    shown = every.with_columns(names).select("stratum", "n_a", "n_b", "mean_a", "mean_b", "difference")
    apart, same = (tuple(matching.labels[i] for i in found) for found in (outlying, unapplied))
    repeated = seeds or _within(strata) is not None
    copies = rows.height - rows["copy"].n_unique()
    p = _disagreement(strata, pooled)
    return PooledDifference(test, sd, shown, p, seeds, apart, same, rows, every, copies, (), repeated)


def _strata(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns one row a stratum with runs of both sides: n, mean, var, low and high of each side, and the difference."""
    value = pl.col("value")
    cells = rows.group_by("stratum", "side").agg(
        n=pl.len(), mean=value.mean(), var=value.var(), low=value.min(), high=value.max()
    )
    one, other = (
        cells.filter(pl.col("side") == s).drop("side").rename({c: f"{c}_{s}" for c in cells.columns[2:]}) for s in "ab"
    )
    joined = one.join(other, on="stratum").sort("stratum")
    return joined.with_columns(difference=pl.col("mean_a") - pl.col("mean_b"))


def _outlying(strata: pl.DataFrame) -> list[int]:
    """Returns strata with a cell of far larger spread than the other cells (half of its runs diverged).

    They would hide every difference, so they are not pooled but named.
    """
    found: set[int] = set()
    for side in "ab":
        spread = pooled_spread(strata[f"n_{side}"].to_list(), strata[f"var_{side}"].to_list())
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


def without_each(matching: Matching, values: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, without: the pooled difference without that run."""
    rows = matching.table.join(values, on="run_id")
    value, cell = pl.col("value"), ["stratum", "side"]
    cells = rows.group_by(cell).agg(pl.len().cast(pl.Float64).alias("n"), mean=value.mean(), total=value.sum())
    flipped = pl.when(pl.col("side") == "a").then(pl.lit("b")).otherwise(pl.lit("a"))
    opposite = cells.select("stratum", side=flipped, m=pl.col("n"), other=pl.col("mean"))
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


def _error(rows: pl.DataFrame, strata: pl.DataFrame, total: float, *, once: bool) -> tuple[float, float, float, bool]:
    """Returns the error of the pooled difference, its degrees of freedom, the spread of a run, whether seeds are blocks."""
    within = _within(strata)
    paired = _by_seed(rows, strata) if once else None
    if paired is not None:
        return (*paired, True)
    if within is not None:
        return (*_welch_over_strata(rows, strata, within), within[0], False)
    if strata.height < 2:
        return 0.0, 0.0, 0.0, False
    centre = float((strata["w"] * strata["difference"]).sum()) / total
    square = float((strata["w"] * (strata["difference"] - centre) ** 2).sum()) / (strata.height - 1)
    return math.sqrt(square / total), strata.height - 1, math.sqrt(square), False


def _within(strata: pl.DataFrame) -> tuple[float, int] | None:
    """Returns the pooled standard deviation within stratum and side, and its degrees of freedom."""
    df = int(sum((strata[f"n_{s}"] - 1).sum() for s in "ab"))
    if not df:
        return None
    squares = sum(float(((strata[f"n_{s}"] - 1) * strata[f"var_{s}"].fill_null(0.0)).sum()) for s in "ab")
    return math.sqrt(squares / df), df


def _welch_over_strata(rows: pl.DataFrame, strata: pl.DataFrame, within: tuple[float, int]) -> tuple[float, float]:
    """Returns error and degrees of freedom (Satterthwaite) from each side's spread, pooled over strata."""
    parts: list[tuple[float, float]] = []
    for s in "ab":
        df = int((strata[f"n_{s}"] - 1).sum())
        variance = (
            float(((strata[f"n_{s}"] - 1) * strata[f"var_{s}"].fill_null(0.0)).sum()) / df if df else within[0] ** 2
        )
        own = rows.filter(pl.col("side") == s)
        distinct = own["copy"].n_unique() / own.height
        parts.append((variance * _share_of_variance(rows, strata, s), max((df or within[1]) * distinct, 1.0)))
    square = sum(v for v, _ in parts)
    below = sum(v * v / df for v, df in parts)
    return math.sqrt(square), square * square / below if below else 0.0


def _by_seed(rows: pl.DataFrame, strata: pl.DataFrame) -> tuple[float, float, float] | None:
    """Returns the error by pairs of equal seeds within strata, if each run has a partner and residuals correlate.

    No seed occurs twice in a stratum and side.
    """
    if rows["copy"].n_unique() < rows.height:
        return None
    a, b = (rows.filter(pl.col("side") == s).select("stratum", "seed", "value") for s in "ab")
    if a.height != b.height:
        return None
    wide = a.join(b, on=["stratum", "seed"], suffix="_b", maintain_order="left")
    if wide.height != a.height:
        return None
    centred = wide.select(
        *((pl.col(c) - pl.col(c).mean().over("stratum")).alias(n) for c, n in (("value", "ra"), ("value_b", "rb")))
    )
    if not pairing_increases_power(centred["ra"].to_numpy(), centred["rb"].to_numpy())[0]:
        return None
    df = wide.height - strata.height
    squares = float(((centred["ra"] - centred["rb"]) ** 2).sum())
    if df < 1 or not squares:
        return None
    sd = math.sqrt(squares / df)
    return sd / math.sqrt(wide.height), df, sd / math.sqrt(2)


def _disagreement(strata: pl.DataFrame, pooled: float) -> float | None:
    """Returns the p of the F test that all strata have the same difference (interaction of side and stratum)."""
    within = _within(strata)
    if within is None or strata.height < 2 or not within[0]:
        return None
    between = float((strata["w"] * (strata["difference"] - pooled) ** 2).sum()) / (strata.height - 1)
    return f_tail(between / within[0] ** 2, strata.height - 1, within[1])
