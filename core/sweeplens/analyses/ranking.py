"""Which setting is best, and which of the others cannot be told from it.

`tied` compares every group with the best. The best was picked by looking, so the family is all pairs of groups, corrected by
Holm (1979); the standard error is the larger of the one from the spread pooled over all groups with repetitions and the
one from the two groups themselves. Without any repetition nothing is claimed: `tied` is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import Coverage, coverage_of, listed, series_of, with_config
from sweeplens.analyses.noise import Spread, pooled_spread
from sweeplens.analyses.statistics import ALPHA, t_quantile
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.errors import InputError
from sweeplens.frames.goals import goal_of
from sweeplens.frames.grouping import free_names, group_hparams, is_identifier, is_replicate, keyed, varying_hparams
from sweeplens.frames.reduction import ReducedSeries, parse_reduce, reduce_runs, runs_lacking

__all__ = ["RANK_COLUMNS", "rank"]

_MOST_GROUPS_FOR_HOLM = 1000
_MANY_KEYS = 8  # more hyperparameters come after the numbers, where a narrow answer may lose them
_STATS = ("rank", "n", "mean", "ci95_low", "ci95_high", "gap", "tied", "p_adjusted", "unfinished", "left_out")
RANK_COLUMNS = (*_STATS, "run_id", "status")
"""What is no hyperparameter in a ranking."""
_TAKEN = (*RANK_COLUMNS, "value", "values", "var", "ids")


class _Ranked(Struct, frozen=True):
    """Groups in order of rank (columns: the hyperparameters, n, mean, var, ids), and the spread that they are held against."""

    groups: pl.DataFrame
    spread: Spread | None
    wild: tuple[str, ...]


def rank(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    metric: str,
    *,
    goal: str = "",
    reduce: str = "best",
    by: Literal["group", "run"] | str = "group",
    at_step: str = "",
    hparams: Sequence[str] = (),
    goals: Mapping[str, str] | None = None,
    replicates: Sequence[str] = (),
) -> Answer:
    """Groups (or runs) in order: mean, 95 % interval, gap to the best, and whether they can be told from it.

    ``at_step`` (``common`` or a number) compares at that step instead of ``reduce``. Raises InputError,
    AmbiguousGoalError, UnknownNameError.
    """
    how = parse_reduce(f"at_step:{at_step}" if at_step else reduce)
    if by not in ("group", "run") or how.how == "points":
        raise InputError(f"rank takes by='group' or by='run', and one number a run: by={by!r}, reduce={str(how)!r}.")
    asked = series_of(metric, series)
    direction = goal_of(metric, goal, goals)
    runs, keys = free_names(runs, _grouping(runs, hparams, replicates), _TAKEN)
    lost: tuple[LeftOut, ...] = ()
    if by == "group" and keys:
        runs, lost = with_config(runs)
        asked = asked.filter(pl.col("run_id").is_in(runs["run_id"].to_list()))
    reduced = reduce_runs(asked, points, how, goals=goals, goal=direction)
    left = (*runs_lacking([metric], runs, series), *reduced.left_out)
    used = asked.filter(pl.col("run_id").is_in(reduced.values["run_id"].to_list()))
    cover = coverage_of(runs, used)
    ranked = _ranked(runs, reduced, keys, direction)
    table = _finished(_by_run(ranked, runs, keys, direction) if by == "run" else _by_group(ranked, keys), ranked.spread)
    table = _marked(table, runs, keys, cover, left, by)
    named = ["run_id", "status"] if by == "run" else []
    if by == "group" and keys and table.height and table["n"].max() == 1:  # a random search: each group is a run
        named, table = ["run_id"], table.with_columns(run_id=pl.col("ids").list.first())
    stats = _STATS[1:]
    shown = ["rank", *named, *keys, *stats] if len(keys) <= _MANY_KEYS else ["rank", *named, *stats, *keys]
    notes = _notes(str(how), reduced.step, direction, ranked, table, cover, by)
    basis = Basis(runs_used=used.height, left_out=(*lost, *left), points=reduced.points)
    return Answer(table.select(shown), basis, notes)


def _grouping(runs: pl.DataFrame, asked: Sequence[str], replicates: Sequence[str]) -> list[str]:
    """The hyperparameters that define groups; where each run is a group of its own (random search), all that vary."""
    keys = group_hparams(runs, asked, replicates)
    if asked or not keys or keyed(runs, keys).select(keys).n_unique() < runs.height:
        return keys
    return [n for n in varying_hparams(runs) if not is_replicate(runs, n, replicates) and not is_identifier(runs, n)]


def _ranked(runs: pl.DataFrame, reduced: ReducedSeries, keys: Sequence[str], goal: str) -> _Ranked:
    table = keyed(runs, keys).join(reduced.values.select("run_id", "value"), on="run_id", maintain_order="left")
    stats = [
        pl.len().alias("n"),
        pl.col("value").mean().alias("mean"),
        pl.col("value").var().alias("var"),
        pl.col("run_id").sort().alias("ids"),
        pl.col("value").sort_by("run_id").alias("values"),
    ]
    by = list(keys) or [pl.lit("all runs").alias("group")]
    groups = (
        table.group_by(by, maintain_order=True)
        .agg(stats)
        .sort("mean", *keys, descending=[goal == "higher", *(False for _ in keys)])
    )
    spread = pooled_spread(groups["n"].to_list(), groups["var"].to_list())
    wild = tuple(_label(groups.row(i, named=True), keys) for i in spread.wild) if spread else ()
    return _Ranked(groups, spread, wild)


def _label(row: Mapping[str, object], keys: Sequence[str]) -> str:
    return ", ".join(f"{k}={row[k]}" for k in keys) or "all runs"


def _by_group(ranked: _Ranked, keys: Sequence[str]) -> pl.DataFrame:
    """The groups with their intervals."""
    groups = ranked.groups
    quantiles = {n: t_quantile(n - 1) for n in groups["n"].unique().to_list() if n > 1}
    half = (pl.col("var") / pl.col("n")).sqrt() * pl.col("n").replace_strict(
        quantiles, default=None, return_dtype=pl.Float64
    )
    return groups.with_columns(ci95_low=pl.col("mean") - half, ci95_high=pl.col("mean") + half).drop("values")


def _by_run(ranked: _Ranked, runs: pl.DataFrame, keys: Sequence[str], goal: str) -> pl.DataFrame:
    """Single runs: each is a group of one, without an interval; its group's spread is kept where it has one."""
    single = ranked.groups.select(*keys, "var", "ids", "values").explode("ids", "values")
    single = single.rename({"ids": "run_id", "values": "mean"})
    none = pl.lit(None, pl.Float64)
    return (
        single.with_columns(pl.lit(1, pl.UInt32).alias("n"), none.alias("ci95_low"), none.alias("ci95_high"))
        .with_columns(pl.concat_list("run_id").alias("ids"))
        .join(runs.select("run_id", "status"), on="run_id", how="left", maintain_order="left")
        .sort("mean", "run_id", descending=[goal == "higher", False])
    )


def _finished(table: pl.DataFrame, spread: Spread | None) -> pl.DataFrame:
    """rank, gap, p_adjusted and tied for a table in order (columns n, mean, var)."""
    ps = _adjusted(table, spread)
    gap = (pl.col("mean") - pl.col("mean").first()).abs()
    p = pl.Series("p_adjusted", ps, dtype=pl.Float64)
    row = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("rank")
    followers = [None if q is None else q >= ALPHA for q in ps[1:]]
    shared = None if not followers or None in followers else any(followers)
    first = True if any(followers) else shared
    return table.with_columns(
        row, gap.alias("gap"), p, pl.Series("tied", [first, *followers][: table.height], dtype=pl.Boolean)
    )


def _adjusted(table: pl.DataFrame, spread: Spread | None) -> list[float | None]:
    """For each row the p of its gap to the first, corrected over all pairs; null where there is no spread to hold it against."""
    if spread is None or spread.sd == 0 or table.height < 2:
        return [None] * table.height
    import numpy as np  # here, not above: nothing else of an answer needs it, and it takes a tenth of a second
    from scipy.special import stdtr

    n, centre = table["n"].to_numpy().astype(float), table["mean"].to_numpy()
    own = table["var"].fill_null(spread.sd**2).to_numpy() / n
    pooled = spread.sd**2 / n
    pairs = table.height * (table.height - 1) // 2
    if table.height <= _MOST_GROUPS_FOR_HOLM:
        one, other = np.triu_indices(table.height, 1)  # the pairs of the first row come first
    else:
        one, other = np.zeros(table.height - 1, dtype=int), np.arange(1, table.height)
    with np.errstate(all="ignore"):  # of values near the end of the numbers nothing is told apart
        error = np.sqrt(np.maximum(own[one] + own[other], pooled[one] + pooled[other]))
        p = 2 * stdtr(spread.df, -np.abs(centre[one] - centre[other]) / error)
    p = np.where(np.isfinite(p) & np.isfinite(error), p, 1.0)
    order = np.argsort(p, kind="stable")
    left = pairs - np.arange(len(p)) if len(p) == pairs else np.full(len(p), pairs)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * left), 1.0)
    return [None, *adjusted[: table.height - 1].tolist()]


def _marked(
    table: pl.DataFrame, runs: pl.DataFrame, keys: Sequence[str], cover: Coverage, left: Sequence[LeftOut], by: str
) -> pl.DataFrame:
    """How many runs of each row are unfinished or shorter (for a single run: whether), and how many were left out."""
    marked = pl.col("ids").list.eval(pl.element().is_in(list(cover.marked))).list.sum().cast(pl.Int64)
    table = table.with_columns((marked > 0 if by == "run" else marked).alias("unfinished"))
    lost = sorted({r for entry in left for r in entry.runs})
    if by == "run" or not keys or not lost:
        return table.with_columns(pl.lit(len(lost) if not keys and by == "group" else 0, pl.Int64).alias("left_out"))
    of_lost = keyed(runs, keys).filter(pl.col("run_id").is_in(lost))
    gone = of_lost.group_by(list(keys)).agg(left_out=pl.len().cast(pl.Int64))
    joined = table.join(gone, on=list(keys), how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.col("left_out").fill_null(0))


def _notes(
    how: str, step: int | None, goal: str, ranked: _Ranked, table: pl.DataFrame, cover: Coverage, by: str
) -> tuple[str, ...]:
    at = f" (step {step})" if step is not None else ""
    notes = [f"{goal} is better; reduce {how}{at}; each run counts once."]
    notes.append(_tied_note(ranked, table, "runs" if by == "run" else "groups"))
    if ranked.wild:
        notes.append(f"Their own spread is far above the others' and is not in the pooled one: {listed(ranked.wild)}.")
    singles = table.filter(pl.col("n") == 1).height
    if by == "group" and singles:
        notes.append(f"{singles} of {table.height} groups rest on a single run: no interval.")
    if cover.marked:
        common = "" if step is not None else f" at_step='common' compares at step {cover.first_end}."
        notes.append(cover.note() + common)
    lost = int(table["left_out"].sum())
    if lost:
        notes.append(f"{lost} runs of these groups were left out (column left_out): the rest may flatter their group.")
    return tuple(n for n in notes if n)


def _tied_note(ranked: _Ranked, table: pl.DataFrame, what: str) -> str:
    if table.height < 2:
        return ""
    spread = ranked.spread
    if spread is None:
        return "Nothing was repeated (each group has one run): what is chance is not known, so tied is unknown (null)."
    if spread.sd == 0:
        return "Repetitions came out exactly the same: there is no spread to hold a gap against, so tied is null."
    pairs = table.height * (table.height - 1) // 2
    correction = "Holm's" if table.height <= _MOST_GROUPS_FOR_HOLM else "Bonferroni's (Holm's first step)"
    tied = table.filter(pl.col("tied") & (pl.col("rank") > 1)).height
    return (
        f"{_verdict(tied, table.height - 1)} at 5 % after {correction} correction over all {pairs} pairs of {what};"
        f" spread of a run within its group {spread.sd:.4g}, pooled over {spread.groups} groups with repetitions"
        f" ({spread.df} degrees of freedom)."
    )


def _verdict(tied: int, followers: int) -> str:
    if tied:
        return f"{tied} of {followers} followers cannot be told from the best"
    return f"The best is ahead of {'all ' * (followers > 1)}{followers} follower{'s' * (followers > 1)} by more than chance"
