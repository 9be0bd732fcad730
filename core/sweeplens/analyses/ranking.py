"""Ranks settings by a metric and says which of them tie with the best.

`bests` tests the followers against the best. Where tasks (environments, data sets) vary, each task has a ranking of its own,
and `tasks` summarises all of them. Without repeated runs nothing is claimed: `tied` is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.bests import gap_significance, shrunk, single_runs
from sweeplens.analyses.bounds import within_bounds
from sweeplens.analyses.coverage import Coverage, coverage_of, series_of, settings_unknown, with_config
from sweeplens.analyses.printed_warnings import ignored_notes
from sweeplens.analyses.ranked_groups import (
    RANK_COLUMNS,
    RANK_STATISTICS,
    RESERVED,
    RankedGroups,
    RankQuestion,
    counted_in,
    group_names,
    ranked_groups,
)
from sweeplens.analyses.ranking_notes import BROKEN, broken_note, method_notes, review_notes
from sweeplens.analyses.robustness import EXCEPTIONS
from sweeplens.analyses.statistics import ALPHA, interim_alpha, t_quantile
from sweeplens.analyses.tasks import over_tasks, overall_notes
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.engines.protocol import PointSource
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.goals import goal_of
from sweeplens.frames.grouping import free_names, is_task, keyed, task_hparams
from sweeplens.frames.reduction import DEFAULT_REDUCE, parse_reduce, reduce_runs, runs_lacking

__all__ = ["BROKEN", "RANK_COLUMNS", "rank"]

_FEWEST_FOR_IQM = 4  # runs of a group; below, the middle half is all of them
_MANY_KEYS = 8  # more hyperparameters come after the numbers, where a narrow answer may lose them


def rank(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    metric: str,
    *,
    goal: str = "",
    reduce: str = DEFAULT_REDUCE,
    by: Literal["group", "run"] | str = "group",
    at_step: str = "",
    hparams: Sequence[str] = (),
    goals: Mapping[str, str] | None = None,
    replicates: Sequence[str] = (),
    tasks: Sequence[str] = (),
    pruned: bool = False,
    reviewed: bool = True,
    broken: Sequence[str] = (),
) -> Answer:
    """Returns groups (or runs) in order of rank: mean, 95 % interval (Student's t), gap to the best, and ties with it.

    ``at_step`` (``common`` or a number) compares at that step instead of ``reduce``. Raises InputError,
    AmbiguousGoalError, UnknownNameError. ``tasks``: globs of hyperparameters that name the task: runs are ranked within
    each of their values. ``pruned``: also rank trials that their search ended early. All numbers are in the unit of the
    metric. ``reviewed``: add notes on lucky values and on other analysis choices. ``broken``: runs that a diagnosis calls broken:
    ties that rest on them are named. Sources of the tests: `bests`.
    """
    how = parse_reduce(f"at_step:{at_step}" if at_step else reduce)
    if by not in ("group", "run"):
        hint = "Pass by='group' or by='run'; hparams names the hyperparameters that define groups."
        raise UnknownNameError.of("by", by, ("group", "run"), hint=hint, meaning="by")
    if how.how == "points":
        raise InputError(
            "A ranking needs one number for each run, and reduce 'points' pools all points: use mean or last_k."
        )
    asked = series_of(metric, series)
    direction = goal_of(metric, goal, goals)
    runs, early = (runs, ()) if pruned else _without_pruned(runs)
    if early:
        asked, series = (t.filter(pl.col("run_id").is_in(runs["run_id"].implode())) for t in (asked, series))
    having = runs.filter(
        pl.col("run_id").is_in(asked["run_id"].implode())
    )  # what varies only beyond them defines no group
    keys = group_names(having, hparams, replicates)
    of_task = task_hparams(having, tasks)
    ask = RankQuestion(
        metric,
        how,
        direction,
        by,
        tuple(k for k in keys if not is_task(k, tasks)),
        goals,
        tuple(replicates),
        reviewed,
        tuple(broken),
    )
    question = (runs, series, asked, points, ask)
    answer = _by_task(*question, of_task) if of_task else _ranked_answer(*question)
    answer = replace(answer, notes=(*answer.notes, *ignored_notes(runs, keys)))
    return replace(answer, basis=replace(answer.basis, left_out=(*early, *answer.basis.left_out))) if early else answer


def _without_pruned(runs: pl.DataFrame) -> tuple[pl.DataFrame, tuple[LeftOut, ...]]:
    """Returns the runs that have begun and that no search ended early, if there are any; and the others as left out."""
    early = pl.col("status").is_in(["pruned", "waiting"])
    others = runs.filter(early)
    if not others.height or others.height == runs.height:
        return runs, ()
    reason = "pruned by its search, or waiting (where=\"status = 'pruned'\" and the like rank them)"
    return runs.filter(~early), (LeftOut(reason, tuple(others["run_id"].to_list())),)


def _by_task(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    asked: pl.DataFrame,
    points: PointSource,
    ask: RankQuestion,
    of_task: Sequence[str],
) -> Answer:
    """Returns the rankings of all tasks, concatenated, and table ``overall``."""
    parts: list[Answer] = []
    names = keyed(runs, of_task).with_columns(
        task=pl.concat_str([pl.col(t).cast(pl.String).fill_null("(not set)") for t in of_task], separator=", ")
    )
    for task in names["task"].unique().sort().to_list():
        ids = names.filter(pl.col("task") == task)["run_id"].to_list()
        within = asked.filter(pl.col("run_id").is_in(ids))
        if within.height:
            mine = runs.filter(pl.col("run_id").is_in(ids))
            part = _ranked_answer(mine, series, within, points, ask)
            parts.append(replace(part, table=part.table.select(pl.lit(task).alias("task"), pl.all())))
    reduced = reduce_runs(asked, points, ask.how, goals=ask.goals, goal=ask.goal)
    settings = keyed(runs, list(ask.keys)).join(names.select("run_id", "task"), on="run_id")
    overall = over_tasks(settings.join(reduced.values.select("run_id", "value"), on="run_id"), list(ask.keys), ask.goal)
    tried = settings.filter(pl.col("run_id").is_in(reduced.values["run_id"].implode())).select(ask.keys).unique().height
    table = pl.concat([p.table for p in parts], how="diagonal_relaxed")
    basis = Basis(
        runs_used=sum(p.basis.runs_used or 0 for p in parts),
        left_out=tuple(entry for p in parts for entry in p.basis.left_out),
        points=sum(p.basis.points or 0 for p in parts),
    )
    word = f"{', '.join(of_task)} is the task: runs are ranked within each of {len(parts)} tasks, never across them."
    notes = (word, *parts[0].notes[:1], *overall_notes(overall, list(ask.keys), tried), *_doubts(parts))
    return Answer(table, basis, notes, {"overall": overall})


def _doubts(parts: Sequence[Answer]) -> tuple[str, ...]:
    """Returns, for each task, the analysis choices under which another group leads, and groups that tie because of broken runs."""
    words = (EXCEPTIONS, BROKEN)
    return tuple(f"{p.table['task'][0]}: {n}" for p in parts for n in p.notes if any(w in n for w in words))


def _ranked_answer(
    runs: pl.DataFrame, series: pl.DataFrame, asked: pl.DataFrame, points: PointSource, ask: RankQuestion
) -> Answer:
    metric, how, direction, by, goals = ask.metric, ask.how, ask.goal, ask.by, ask.goals
    runs, keys = free_names(runs, ask.keys, RESERVED)
    lost: tuple[LeftOut, ...] = ()
    unknown = () if ask.keys else settings_unknown(runs)
    if unknown:
        by, ask = "run", replace(ask, by="run")
    elif by == "group" and runs.height > 1:
        runs, lost = with_config(runs)
        asked = asked.filter(pl.col("run_id").is_in(runs["run_id"].implode())) if lost else asked
    reduced = reduce_runs(asked, points, how, goals=goals, goal=direction)
    left = (*runs_lacking([metric], runs, series), *reduced.left_out)
    is_all = reduced.values.height == asked.height
    used = asked if is_all else asked.filter(pl.col("run_id").is_in(reduced.values["run_id"].implode()))
    cover = coverage_of(runs, used)
    ranked = ranked_groups(runs, reduced.values, keys, ask)
    table = _by_run(ranked, runs, keys, direction) if by == "run" else _by_group(ranked, keys)
    limits = _limits(table, cover.running)
    table, method = _finished(table, ranked, by, limits)
    table = _marked(table, runs, keys, cover, left, by)
    named = ["run_id", "status"] if by == "run" else []
    if by == "group" and keys and table.height and table["n"].max() == 1:  # a random search: each group is a run
        named, table = ["run_id"], table.with_columns(run_id=pl.col("ids").list.first())
    stats = RANK_STATISTICS[1:]
    stats = stats if by == "group" and int(table["n"].max() or 0) >= _FEWEST_FOR_IQM else stats[:-1]  # pyright: ignore[reportArgumentType]
    shown = ["rank", *named, *keys, *stats] if len(keys) <= _MANY_KEYS else ["rank", *named, *stats, *keys]
    notes = unknown + method_notes(str(how), reduced.step, ask, ranked, table, cover, method, _stricter(limits))
    notes += review_notes(runs, series, used, points, ask, ranked, keys, reduced.values) if ask.reviewed else ()
    notes += broken_note(runs, series, ranked, table, keys, ask.broken) if by == "group" else ()
    basis = Basis(runs_used=used.height, left_out=(*lost, *left), points=reduced.points)
    return Answer(table.select(shown), basis, notes)


def _by_group(ranked: RankedGroups, keys: Sequence[str]) -> pl.DataFrame:
    """Adds intervals: Student's t, cut at the bounds of the metric if it has any."""
    groups = ranked.groups
    quantiles = {n: t_quantile(n - 1) for n in groups["n"].unique().to_list() if n > 1}
    half = (pl.col("var") / pl.col("n")).sqrt() * pl.col("n").replace_strict(
        quantiles, default=None, return_dtype=pl.Float64
    )
    table = groups.with_columns(ci95_low=pl.col("mean") - half, ci95_high=pl.col("mean") + half)
    if ranked.bounds is not None:
        table = within_bounds(table, ranked.bounds)
    cut = pl.col("n") // 4
    table = table.with_columns(iqm=pl.col("values").list.sort().list.slice(cut, pl.col("n") - 2 * cut).list.mean())
    return table.drop("values", "seeds")


def _by_run(ranked: RankedGroups, runs: pl.DataFrame, keys: Sequence[str], goal: str) -> pl.DataFrame:
    """Returns single runs as groups of one, without intervals; ``var`` is that of the run's group."""
    single = ranked.groups.select(*keys, "var", "ids", "values").explode("ids", "values")
    single = single.rename({"ids": "run_id", "values": "mean"})
    none = pl.lit(None, pl.Float64)
    return (
        single.with_columns(pl.lit(1, pl.UInt32).alias("n"), none.alias("ci95_low"), none.alias("ci95_high"))
        .with_columns(pl.concat_list("run_id").alias("ids"))
        .join(runs.select("run_id", "status"), on="run_id", how="left", maintain_order="left")
        .sort("mean", "run_id", descending=[goal == "higher", False])
    )


def _limits(table: pl.DataFrame, running: Sequence[str]) -> pl.Series:
    """Returns the limit for p of each row, by the share of its runs and those of the first row that are still running."""
    live = pl.col("ids").list.eval(pl.element().is_in(list(running))).list.sum()
    size = pl.col("ids").list.len()
    shares = table.select((live + live.first()) / (size + size.first())).to_series()
    return pl.Series([interim_alpha(share) for share in shares], dtype=pl.Float64) if running else shares * 0 + ALPHA


def _stricter(limits: pl.Series) -> str:
    """Returns the levels of comparisons that runs still running make stricter, as a clause; empty if there are none."""
    levels = sorted({100 * limit for limit in limits.to_list()} - {100 * ALPHA})
    if not levels:
        return ""
    return f", at {' or '.join(f'{level:g} %' for level in levels)} where runs are still running"


def _finished(table: pl.DataFrame, ranked: RankedGroups, by: str, limits: pl.Series) -> tuple[pl.DataFrame, str]:
    """Adds rank, gap, p_adjusted, tied and shrunk to a table in order (columns n, mean, var); returns the method in words too."""
    n, means, variances = table["n"], table["mean"], table["var"]
    method = ""
    if ranked.spread is None or ranked.spread.sd == 0:
        ps: list[float | None] = [None] * table.height
    elif by == "run":
        found = single_runs(means, ranked.spread.sd, ranked.spread.df)
        ps, method = found.p, f"{found.method}, by the pooled spread"
    else:
        freedom = [ranked.blocks[1]] * table.height if ranked.blocks else []
        found = gap_significance(n, means, ranked.blocks[0] if ranked.blocks else variances, freedom)
        ps, method = found.p, found.method + (", seeds as blocks" if ranked.blocks else "")
    gap = (pl.col("mean") - pl.col("mean").first()).abs()
    row = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("rank")
    adjusted = pl.Series("p_adjusted", ps, dtype=pl.Float64)
    followers = adjusted[1:] >= limits[1:]
    shared = None if not len(followers) or followers.null_count() else bool(followers.any())
    first = pl.Series([True if followers.any() else shared], dtype=pl.Boolean)
    return table.with_columns(
        row, gap.alias("gap"), adjusted, pl.concat([first, followers])[: table.height].alias("tied"),
        pl.Series("shrunk", shrunk(n, means, variances) if by == "group" else [None] * table.height, dtype=pl.Float64),
    ), method  # fmt: skip


def _marked(
    table: pl.DataFrame, runs: pl.DataFrame, keys: Sequence[str], cover: Coverage, left: Sequence[LeftOut], by: str
) -> pl.DataFrame:
    """Adds how many runs of each row are unfinished or shorter (for a single run: whether), and how many were left out."""
    marked = counted_in(table, cover.marked)
    table = table.with_columns((marked > 0 if by == "run" else marked).alias("unfinished"))
    lost = sorted({r for entry in left for r in entry.runs})
    if by == "run" or not keys or not lost:
        return table.with_columns(pl.lit(len(lost) if not keys and by == "group" else 0, pl.Int64).alias("left_out"))
    of_lost = keyed(runs, keys).filter(pl.col("run_id").is_in(lost))
    gone = of_lost.group_by(list(keys)).agg(left_out=pl.len().cast(pl.Int64))
    joined = table.join(gone, on=list(keys), how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.col("left_out").fill_null(0))
