"""Matches the runs of two sides: strata of runs that are equal in everything else that varies, and blocks within them.

    match_sides     the hyperparameters to match on, runs with a counterpart, and confounded hyperparameters

Within a stratum, runs of the same fold are one block, and runs of the same seed may be a pair (`replicate_blocks`). Where nothing
but repetitions varies, all runs are one stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import polars as pl
from msgspec import Struct

from sweeplens.analyses.batch_products import with_batch_products
from sweeplens.analyses.replicate_blocks import is_fold, shared_names
from sweeplens.analyses.sides import Sides
from sweeplens.frames.grouping import free_names, is_replicate, keyed, same_split, settings_among, varying_hparams
from sweeplens.frames.many_columns import value_sets

_TAKEN = ("side", "sides", "stratum", "block", "seed", "runs")  # columns of the tables here
_MOST_RELAXED = 30  # hyperparameters of which some may be left out
_ALL = "all runs"  # the stratum where nothing but repetitions varies

__all__ = ["Matching", "match_sides", "partners_of", "seeds_once"]


class Matching(Struct, frozen=True, dict=True):
    """``table``: run_id, side (a, b), stratum, block, seed (numbers); only strata with runs of both sides.

    ``block``: the fold, or 0 where folds are no blocks; null if a run has none. ``once``: each run has a seed, and no two of a side
    in one stratum and block share it.
    """

    table: pl.DataFrame
    by: tuple[str, ...]
    labels: tuple[str, ...]  # of the strata, in order
    levels: pl.DataFrame  # stratum, and for each hyperparameter that names strata its level as text
    numbers: pl.DataFrame  # stratum, and those of these hyperparameters that are numbers
    never_equal: tuple[str, ...]  # also vary, without a value that both sides share
    alone: tuple[str, ...]  # runs without a counterpart
    once: bool
    factors: tuple[str, ...] = ()  # hyperparameters of which the product is matched
    folds: tuple[str, ...] = ()  # names of repetitions that are blocks within strata
    seeds: tuple[str, ...] = ("seed",)  # names of those that pair runs where values correlate

    @cached_property
    def partners(self) -> pl.DataFrame:
        """The cells of `partners_of` where all runs have a value, made once for all metrics."""
        return partners_of(self.table)


def match_sides(
    runs: pl.DataFrame, sides: Sides, replicates: Sequence[str], ignore: Sequence[str] = ()
) -> Matching | None:
    """Matches runs of the two sides; None if only ``ignore`` varies within the sides, or no run has a counterpart.

    Without a hyperparameter to match on (``by`` is empty), runs are matched by repetitions alone.
    """
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
    if not shared and not seeds:
        return None
    cells, matched, alone = _in_cells(table, shared)
    folds, pairing = _replicates(matched, seeds)
    if not (shared or folds or pairing):
        return None
    kept = _placed(matched, folds, pairing)
    shown = [names[0] for names in same_split(both, shared)]  # of those that split the runs alike, one names a stratum
    levels = cells.select("stratum", *(_named_values(cells[n]).alias(n) for n in shown))
    numbers = cells.select("stratum", *(n for n in shown if cells.schema[n].is_numeric()))
    labels = tuple(levels.select(pl.concat_str(shown, separator=", ")).to_series().to_list()) if shown else (_ALL,)
    lone = tuple(alone["run_id"].sort().to_list())
    blocks, pairs = (tuple(n.removeprefix("hparam.") for n in part) for part in (folds, pairing))
    matched_factors = factors if " x ".join(factors) in shared else ()
    return Matching(
        kept, tuple(shared), labels, levels, numbers, never, lone, seeds_once(kept), matched_factors, blocks, pairs
    )


def _in_cells(table: pl.DataFrame, shared: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Returns the strata with their number, the rows of runs in strata with both sides, and the other rows."""
    if not shared:
        stratum = pl.lit(0, pl.UInt32).alias("stratum")
        return pl.DataFrame({"stratum": [0]}, schema={"stratum": pl.UInt32}), table.with_columns(stratum), table.clear()
    cells = table.group_by(shared).agg(pl.col("side").n_unique().alias("sides")).filter(pl.col("sides") == 2)
    cells = cells.drop("sides").sort(shared, nulls_last=True).with_row_index("stratum")
    matched = table.join(cells, on=shared, how="inner", nulls_equal=True, maintain_order="left")
    alone = (
        table.join(cells, on=shared, how="anti", nulls_equal=True) if matched.height < table.height else table.clear()
    )
    return cells, matched, alone


def _replicates(matched: pl.DataFrame, replicates: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the names of folds that both sides share within strata, and those of seeds within these folds."""
    folds = [n for n in replicates if is_fold(n)]
    blocks = shared_names(matched, folds, ["stratum"]) if folds else []
    return blocks, shared_names(matched, [n for n in replicates if n not in folds], ["stratum", *blocks])


def _placed(matched: pl.DataFrame, folds: Sequence[str], seeds: Sequence[str]) -> pl.DataFrame:
    """Returns run_id, side, stratum, block, seed. Numbers are joined faster than texts."""
    block, seed = (
        pl.concat_str([pl.col(n).cast(pl.String) for n in names], separator=" ", ignore_nulls=names is seeds)
        .cast(pl.Categorical)
        .to_physical()
        if names
        else empty
        for names, empty in ((folds, pl.lit(0, pl.UInt32)), (seeds, pl.lit(None, pl.UInt32)))
    )
    kept = matched.select("run_id", "side", "stratum", block.alias("block"), seed.alias("seed"))
    order = ["stratum", "side"] if kept["run_id"].is_sorted() else ["stratum", "side", "run_id"]
    return kept.sort(order, maintain_order=True)


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


def partners_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the cells (stratum, block, seed) with one run on each side."""
    known = rows.filter(pl.col("seed").is_not_null())
    cells = known.group_by("stratum", "block", "seed").agg(n=pl.len(), on_a=(pl.col("side") == "a").sum())
    return cells.filter(pl.col("n") == 2, pl.col("on_a") == 1).select("stratum", "block", "seed")


def seeds_once(table: pl.DataFrame) -> bool:
    """Returns whether each run has a seed, and no two of a side in one stratum and block share it."""
    return (
        not table["seed"].null_count()
        and not table.select(pl.struct("stratum", "block", "side", "seed").is_duplicated().any()).item()
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
