"""Groups of runs in order of their mean: what a ranking ranks.

A group is one setting of the hyperparameters, replicates aside. Where each run has settings of its own (random search), each
run is a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.bests import without_blocks
from sweeplens.analyses.bounds import bounds_of
from sweeplens.analyses.noise import Spread, pooled_spread
from sweeplens.frames.grouping import (
    group_hparams,
    is_replicate,
    keyed,
    runs_without_hparams,
    settings_among,
    varying_hparams,
)
from sweeplens.frames.reduction import Reduction

__all__ = [
    "RANK_COLUMNS",
    "RANK_STATISTICS",
    "RESERVED",
    "RankQuestion",
    "RankedGroups",
    "counted_in",
    "group_label",
    "group_names",
    "leading_group",
    "ranked_groups",
]

RANK_STATISTICS = (
    "rank",
    "n",
    "mean",
    "ci95_low",
    "ci95_high",
    "gap",
    "tied",
    "p_adjusted",
    "unfinished",
    "left_out",
    "shrunk",
    "iqm",
)
"""The columns of a ranking that are statistics, in order."""
RANK_COLUMNS = (*RANK_STATISTICS, "run_id", "status", "task")
"""The columns of a ranking that are not hyperparameters."""
RESERVED = (*RANK_COLUMNS, "value", "values", "var", "ids", "seeds")
"""Names that no hyperparameter may have while groups are ranked."""


class RankQuestion(Struct, frozen=True):
    """The arguments of a ranking, for one task or for all runs."""

    metric: str
    how: Reduction
    goal: str
    by: str
    keys: tuple[str, ...]
    goals: Mapping[str, str] | None
    replicates: tuple[str, ...]
    reviewed: bool = True  # whether notes on lucky values and other analysis choices are made
    broken: tuple[str, ...] = ()  # runs that are known to be broken


class RankedGroups(Struct, frozen=True):
    """Groups in order of rank (columns: the hyperparameters, n, mean, var, ids), and the pooled spread of their runs."""

    groups: pl.DataFrame
    spread: Spread | None
    bounds: tuple[float, float] | None
    blocks: tuple[list[float], float] | None  # variances with seeds taken out, and their degrees of freedom


def group_names(runs: pl.DataFrame, asked: Sequence[str], replicates: Sequence[str]) -> list[str]:
    """Returns the hyperparameters that define groups; all that vary where each run is its own group (random search)."""
    keys = group_hparams(runs, asked, replicates)
    if asked or not keys or keyed(runs, keys).select(keys).n_unique() < runs.height:
        return keys
    return settings_among(runs, varying_hparams(runs), replicates)


def ranked_groups(runs: pl.DataFrame, values: pl.DataFrame, keys: Sequence[str], ask: RankQuestion) -> RankedGroups:
    seeds = [n for n in varying_hparams(runs) if is_replicate(runs, n, ask.replicates) and n not in keys]
    seed = (
        pl.concat_str([pl.col(s).cast(pl.String) for s in seeds], separator=" ", ignore_nulls=True)
        if seeds
        else pl.lit(None, pl.String)
    )
    table = keyed(runs, keys).join(values.select("run_id", "value"), on="run_id", maintain_order="left")
    table = table.join(runs.select("run_id", seed.alias("seed")), on="run_id", maintain_order="left")
    alone = pl.when(pl.col("run_id").is_in(runs_without_hparams(runs))).then("run_id").alias("alone")
    stats = [
        pl.len().alias("n"),
        pl.col("value").mean().alias("mean"),
        pl.col("value").var().alias("var"),
        pl.col("run_id").alias("ids"),
        pl.col("value").alias("values"),
        pl.col("seed").alias("seeds"),
    ]
    by = [*(keys or [pl.lit("all runs").alias("group")]), alone]  # a run whose settings are unknown repeats no other
    table = table if table["run_id"].is_sorted() else table.sort("run_id")
    groups = (
        table.group_by(by, maintain_order=True)
        .agg(stats)
        .drop("alone")
        .sort("mean", *keys, descending=[ask.goal == "higher", *(False for _ in keys)])
    )
    spread = pooled_spread(groups["n"], groups["var"])
    return RankedGroups(groups, spread, bounds_of(ask.metric, values["value"]), _blocks(groups))


def leading_group(runs: pl.DataFrame, values: pl.DataFrame, keys: Sequence[str], goal: str) -> str:
    """Returns the label of the first of `ranked_groups`; empty if there is none."""
    table = keyed(runs, keys).join(values.select("run_id", "value"), on="run_id")
    unknown = runs_without_hparams(runs)
    alone = pl.when(pl.col("run_id").is_in(unknown)).then("run_id").alias("alone")
    means = table.group_by([*keys, alone]).agg(mean=pl.col("value").mean())
    best = pl.col("mean").max() if goal == "higher" else pl.col("mean").min()
    first = means.filter(pl.col("mean") == best).sort(*keys, "alone").head(1)
    return group_label(first.row(0, named=True), keys) if first.height else ""


def counted_in(groups: pl.DataFrame, runs: Sequence[str]) -> pl.Series:
    """Returns how many of the runs of each group (column ``ids``) are among these."""
    if not runs:
        return pl.repeat(0, groups.height, dtype=pl.Int64, eager=True)
    single = groups.select("ids").with_row_index("place").explode("ids")
    among = single.with_columns(pl.col("ids").is_in(pl.Series(runs).implode()))
    return among.group_by("place", maintain_order=True).agg(pl.col("ids").sum().cast(pl.Int64))["ids"]


def _blocks(groups: pl.DataFrame) -> tuple[list[float], float] | None:
    """Returns the groups' variances without the seed effect, where all groups have the same seeds once each."""
    import numpy as np  # here, not above: nothing else of an answer needs it, and it takes a tenth of a second

    sizes = groups["n"]
    if groups.height < 2 or sizes.min() != sizes.max() or int(sizes[0]) < 2:
        return None
    long = groups.with_row_index("place").select("values", "seeds", group="place").explode("values", "seeds")
    counts = long.group_by("seeds").agg(pl.len().alias("n"), pl.col("group").n_unique().alias("groups"))
    if long["seeds"].null_count() or not ((counts["n"] == groups.height) & (counts["groups"] == groups.height)).all():
        return None
    ordered = long.sort("group", "seeds")["values"].to_numpy().astype(np.float64).reshape(groups.height, int(sizes[0]))
    found = without_blocks(ordered)
    return None if found is None else (found[0].tolist(), found[1])


def group_label(row: Mapping[str, object], keys: Sequence[str]) -> str:
    return ", ".join(f"{k}={row[k]}" for k in keys) or "all runs"
