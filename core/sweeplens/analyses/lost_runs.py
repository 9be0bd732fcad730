"""Runs that are no result of their setting: cut off by something outside, or a copy of another run of the same setting.

A run that ends in NaN is a result of its setting. Copies among runs of several settings show a setting that was never applied;
making them once more would not help. Neither is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.analyses.duplicate_runs import DuplicateRuns
from sweeplens.frames.grouping import group_hparams, keyed

__all__ = ["lost_runs"]

_SCHEMA = {"run_id": pl.String(), "why": pl.String()}
_CUT = ("failed", "crashed", "killed")
_SHORT = 0.9


def lost_runs(
    runs: pl.DataFrame, series: pl.DataFrame, doubles: Sequence[DuplicateRuns], replicates: Sequence[str]
) -> pl.DataFrame:
    """Returns run_id, why: each lost run once. ``series``: the rows of one metric."""
    return (
        pl.concat([_cut_off(runs, series), _copies(runs, doubles, replicates)])
        .unique("run_id", keep="first")
        .sort("run_id")
    )


def _cut_off(runs: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Returns runs that did not end well, before 90 % of the usual last step, or without a value; not those that end in NaN.

    Where most runs finished, an unknown status is no good end either.
    """
    usual = series["last_step"].quantile(0.75, "nearest")
    known = runs.select("run_id", "status").join(
        series.select("run_id", "last_step", "last", "n_logged"), on="run_id", how="left"
    )
    short = pl.col("last_step").is_null() | (pl.col("last_step") < _SHORT * (usual or 0))
    ruined = pl.col("last").is_finite().not_() & (pl.col("n_logged") > 0)
    told = (
        2 * int((runs["status"] == "finished").sum()) >= runs.height
    )  # the format says how runs end, so unknown is no end
    found = known.filter(
        pl.col("status").is_in([*_CUT, "unknown"] if told else _CUT), short, ruined.fill_null(value=False).not_()
    )
    at = pl.when(pl.col("last_step").is_null()).then(pl.lit(" before a value")).otherwise(
        pl.format(" at step {} of {}", "last_step", pl.lit(int(usual or 0)))
    )  # fmt: skip
    return found.select("run_id", why=pl.col("status").cast(pl.String) + at).cast(_SCHEMA)  # pyright: ignore[reportArgumentType]


def _copies(runs: pl.DataFrame, doubles: Sequence[DuplicateRuns], replicates: Sequence[str]) -> pl.DataFrame:
    """Returns the runs, but for the first, of each group of equal curves whose settings are the same."""
    of_group = {run: i for i, double in enumerate(doubles) for run in double.runs}
    own = runs.filter(pl.col("run_id").is_in(list(of_group)))
    if not own.height:
        return pl.DataFrame(schema=_SCHEMA)
    keys = group_hparams(runs, (), replicates)
    table = keyed(own, keys)
    setting = (
        pl.concat_str([pl.col(k).cast(pl.String).fill_null("") for k in keys], separator="\n") if keys else pl.lit("")
    )
    table = table.select("run_id", setting=setting).with_columns(group=pl.col("run_id").replace_strict(of_group))
    alike = table.filter(pl.col("setting").n_unique().over("group") == 1).sort("group", "run_id")
    named = alike.with_columns(first=pl.col("run_id").first().over("group"))
    return named.filter(pl.col("run_id") != pl.col("first")).select("run_id", why=pl.format("a copy of {}", "first"))
