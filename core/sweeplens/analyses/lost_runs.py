"""Runs that are no result of their setting: cut off by something outside, or a copy of another run of the same setting.

A run that ends in NaN is a result of its setting. Copies among runs of several settings show a setting that was never applied;
making them once more would not help. Neither is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.analyses.duplicate_runs import DuplicateRuns
from sweeplens.analyses.rungs import rungs_of
from sweeplens.analyses.triage.config_plans import STEP_PLANS
from sweeplens.analyses.triage.metric_kinds import is_length
from sweeplens.frames.grouping import group_hparams, keyed, varying_hparams
from sweeplens.frames.schemas import FROM, hparam_columns

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
    """Returns runs that did not end well, before 90 % of their length, or without a value; not those that end in NaN.

    Where most runs finished, an unknown status is no good end either, but for runs on the rungs of a search.
    """
    lasts = series.select("run_id", "last_step", "last", "n_logged")
    known = runs.select("run_id", "status").join(lasts, on="run_id", how="left")
    known = known.join(_due(runs, series), on="run_id", how="left")
    short = pl.col("last_step").is_null() | (pl.col("last_step") < _SHORT * pl.col("due"))
    ruined = pl.col("last").is_finite().not_() & (pl.col("n_logged") > 0)
    told = (
        2 * int((runs["status"] == "finished").sum()) >= runs.height
    )  # the format says how runs end, so unknown is no end
    ends = [*_CUT, "unknown"] if told and rungs_of(runs, series) is None else _CUT
    found = known.filter(pl.col("status").is_in(ends), short, ruined.fill_null(value=False).not_())
    at = (
        pl.when(pl.col("last_step").is_null())
        .then(pl.lit(" before a value"))
        .otherwise(pl.format(" at step {} of {}", "last_step", pl.col("due").cast(pl.Int64)))
    )
    return found.select("run_id", why=pl.col("status").cast(pl.String) + at).cast(_SCHEMA)  # pyright: ignore[reportArgumentType]


def _due(runs: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, due: the step at which a run should end. That is its planned number of steps, where runs that ended well
    reach theirs; else the usual last step of the runs with the same planned lengths.
    """
    lengths = [n for n in varying_hparams(runs) if is_length(n)]
    table = keyed(runs, lengths).join(series.select("run_id", "last_step"), on="run_id", how="left")
    usual = pl.col("last_step").quantile(0.75, "nearest")
    usual = pl.coalesce(usual.over(lengths), usual) if lengths else usual
    names = [n for n in hparam_columns(runs) if _plans_steps(n) and runs[n].dtype.is_numeric()]
    plan = pl.concat([runs.select("run_id", plan=pl.col(n).cast(pl.Float64)) for n in names]) if names else None
    if plan is None:
        return table.select("run_id", due=usual.cast(pl.Float64))
    own = plan.filter(pl.col("plan") > 0).group_by("run_id").agg(pl.col("plan").min())
    placed = table.join(own, on="run_id", how="left").join(runs.select("run_id", "status"), on="run_id")
    well = placed.filter(pl.col("status").is_in(list(_CUT)).not_())
    reached = ((well["last_step"] + 1) / well["plan"]).median()
    counts = isinstance(reached, float) and abs(reached - 1) < 1 - _SHORT  # the log counts in the unit of the plan
    planned = pl.col("plan") if counts else pl.lit(None, pl.Float64)
    return placed.select("run_id", due=pl.coalesce(planned, usual.cast(pl.Float64)))


def _plans_steps(hparam: str) -> bool:
    return not hparam.startswith(FROM) and hparam.lower().split(".")[-1] in STEP_PLANS


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
