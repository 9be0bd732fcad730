"""Summarises settings over several tasks (environments, data sets), without pooling raw scores.

Scores are normalised within each task (its worst run 0, its best run 1). For each setting the interquartile mean over runs
and tasks with a stratified bootstrap (runs drawn within each task; Agarwal et al. 2021), the mean rank over tasks with
Nemenyi's critical difference (Demsar 2006), and the probability that a run of the first setting beats a run of this setting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.ranges import range_tail
from sweeplens.counting import count_of, verb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

__all__ = ["OVERALL_COLUMNS", "critical_difference", "over_tasks", "overall_notes"]

OVERALL_COLUMNS = ("n_tasks", "n", "iqm", "ci95_low", "ci95_high", "mean_rank", "p_first_better")
_RESAMPLES = 1000
_FEWEST_RESAMPLES = 200
_MOST_DRAWN = 5_000_000  # runs in all resamples of a setting, which are in memory together
_MOST_SETTINGS = 30  # with an interval
_KEYS = 6  # hyperparameters that name a setting in a sentence
_SEED = 20240229


def over_tasks(table: pl.DataFrame, keys: Sequence[str], goal: str) -> pl.DataFrame:
    """Returns one row a setting, the best first: keys, n_tasks, n, iqm, ci95_low, ci95_high, mean_rank, p_first_better.

    ``table``: the keys, task, run_id, value. ``iqm`` and its interval are normalised scores from 0 to 1. Only settings of
    the same tasks are compared (Demsar 2006 asks for complete blocks), so a setting that lacks one of them has no row.
    """
    by = list(keys) or ["all runs"]
    table = table if keys else table.with_columns(pl.lit("all").alias("all runs"))
    value = pl.col("value") if goal == "higher" else -pl.col("value")
    low, high = value.min().over("task"), value.max().over("task")
    scored = table.with_columns(score=pl.when(high > low).then((value - low) / (high - low)).otherwise(0.5))
    scored = _of_the_same_tasks(scored, by) if keys else scored
    cells = scored.group_by(*by, "task").agg(mean=pl.col("score").mean())
    ranks = cells.with_columns(rank=pl.col("mean").rank("average", descending=True).over("task"))
    complete = ranks.group_by(by).agg(mean_rank=pl.col("rank").mean(), n_tasks=pl.len())
    scores = scored.group_by(by).agg(
        n=pl.len(), scores=pl.col("score").sort_by("task", "run_id"), tasks=pl.col("task").sort_by("task", "run_id")
    )
    settings = complete.join(scores, on=by, nulls_equal=True)
    settings = settings.with_columns(iqm=pl.Series([_iqm(s) for s in settings["scores"]], dtype=pl.Float64))
    settings = settings.sort("iqm", *by, descending=[True, *(False for _ in by)], nulls_last=True)
    return _with_intervals(settings).select(*keys, *OVERALL_COLUMNS)


def _of_the_same_tasks(table: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Returns the runs of the settings that were tried on the most tasks, at least two, all of them the same."""
    tried = table.group_by(by).agg(
        tasks=pl.col("task").cast(pl.String).unique().sort().str.join("\n"), count=pl.col("task").n_unique()
    )
    sets = (
        tried.filter(pl.col("count") > 1)
        .group_by("tasks", "count")
        .len()
        .sort("count", "len", "tasks", descending=[True, True, False])
    )
    chosen = tried.join(sets.head(1), on="tasks", how="semi").filter(pl.len() > 1)
    return table.join(chosen, on=by, how="semi", nulls_equal=True)


def _iqm(scores: pl.Series) -> float | None:
    """Returns the mean of the middle half."""
    import numpy as np

    return float(_middle(np.sort(scores.to_numpy())[None])[0]) if len(scores) else None


def _middle(ordered: Array) -> Array:
    """Returns the mean of the middle half of each row; rows are sorted."""
    cut = ordered.shape[1] // 4
    return ordered[:, cut : ordered.shape[1] - cut].mean(axis=1)


def _with_intervals(settings: pl.DataFrame) -> pl.DataFrame:
    import numpy as np

    rng = np.random.default_rng(_SEED)
    resamples = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _MOST_DRAWN // max(settings["n"].to_list(), default=1)))
    lows: list[float | None] = []
    highs: list[float | None] = []
    beaten: list[float | None] = []
    first = settings.row(0, named=True) if settings.height else {}
    for row in settings.head(_MOST_SETTINGS).iter_rows(named=True):
        scores, tasks = np.array(row["scores"]), np.array(row["tasks"])
        if len(scores) > row["n_tasks"]:
            parts = [
                rng.choice(scores[tasks == t], size=(resamples, int((tasks == t).sum())))
                for t in dict.fromkeys(tasks.tolist())
            ]
            low, high = np.quantile(_middle(np.sort(np.hstack(parts), axis=1)), [0.025, 0.975])
        else:
            low = high = None
        lows.append(None if low is None else float(low))
        highs.append(None if high is None else float(high))
        beaten.append(_improvement(np.array(first["scores"]), np.array(first["tasks"]), scores, tasks))
    rest: list[float | None] = [None] * (settings.height - len(lows))
    return settings.with_columns(
        ci95_low=pl.Series(lows + rest, dtype=pl.Float64), ci95_high=pl.Series(highs + rest, dtype=pl.Float64),
        p_first_better=pl.Series([None, *beaten[1:], *rest][: settings.height], dtype=pl.Float64),
    )  # fmt: skip


def _improvement(one: Array, one_tasks: NDArray[Any], other: Array, other_tasks: NDArray[Any]) -> float | None:
    """Returns P(a run of one beats a run of other), averaged over shared tasks; ties count half."""
    import numpy as np

    shared: list[str] = sorted({str(t) for t in one_tasks} & {str(t) for t in other_tasks})
    if not shared:
        return None
    wins: list[float] = []
    for task in shared:
        wins.append(_wins(one[one_tasks == task], other[other_tasks == task]))
    return float(np.mean(wins))


def _wins(a: Array, b: Array) -> float:
    """Returns the share of pairs in which a value of ``a`` is higher; ties count half. It counts by rank, not pair by pair."""
    import numpy as np

    if np.isnan(a).any() or np.isnan(b).any():
        return math.nan
    ordered = np.sort(b)
    beaten = np.searchsorted(ordered, a, "left") + np.searchsorted(ordered, a, "right")
    return float(beaten.sum()) / (2 * len(a) * len(b))


@cache
def critical_difference(settings: int, tasks: int) -> float:
    """Returns Nemenyi's critical difference: mean ranks farther apart differ at 5 %."""
    low, high = 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if range_tail(middle, settings, math.inf) > 0.05 else (low, middle)
    return high / math.sqrt(2) * math.sqrt(settings * (settings + 1) / (6 * tasks))


def overall_notes(overall: pl.DataFrame, keys: Sequence[str], settings: int) -> tuple[str, ...]:
    """Returns the note on all tasks; ``settings``: how many there are in any task."""
    if keys and not overall.height:
        return ("No two settings were tried on the same two tasks, so nothing is ranked over tasks.",)
    if not keys or overall.height < 2:
        return ()
    first, second = overall.row(0, named=True), overall.row(1, named=True)
    tasks = int(first["n_tasks"])
    label = listed([f"{k}={first[k]}" for k in keys if first[k] is not None], _KEYS) or "none of these settings"
    interval = "" if first["ci95_low"] is None else f" [{first['ci95_low']:.3g}, {first['ci95_high']:.3g}]"
    better = second["p_first_better"]
    ahead = "" if better is None else f"; a run of it beats one of the second in {better:.0%}"
    cd = critical_difference(overall.height, tasks)
    gap = second["mean_rank"] - first["mean_rank"]
    size = "more" if gap > cd else "not more"
    rest = settings - overall.height
    lacking = (
        f"; {count_of(rest, 'setting')} that {verb(rest, 'lacks', 'lack')} one of these tasks left out" if rest else ""
    )
    return (
        f"Over {tasks} tasks: {label} leads, interquartile mean {first['iqm']:.3g}{interval} of normalised "
        f"scores{ahead}; mean rank {first['mean_rank']:.3g} against {second['mean_rank']:.3g}, {size} than Nemenyi's "
        f"critical difference {cd:.3g}{lacking}.",
    )
