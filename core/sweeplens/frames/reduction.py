"""Reduces each run's series to one number, so that each run counts once in comparisons over runs.

last_tenth  the default: the mean of the finite values among the last tenth of the points, if that is at least 3 points
            (series of 30 points and more), else `last`: the last value of a noisy curve alone is not a result
last        the value at the last step (a run whose last value is not finite is left out, and listed as such)
best        the best finite value by the metric's goal        min, max, mean, first   of the finite values
at_step:N   the finite value at the last step up to N; a run that ended before N is left out
at_step:common   the same at the last step that every run reached
last_k:K    the mean of the finite values among the last K steps (K is 10 when it is not given)
auc         the mean height of the curve: the area under it (trapezoids over steps) by its span
at_best:M   the value at the step where metric M of the same run is best (test accuracy at the best validation step)
points      no reduction: all finite points are pooled, as in the earlier system
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.answers import LeftOut
from sweeplens.engines.protocol import Points, PointSource
from sweeplens.engines.reductions import AreaUnderCurve, AtStep, BestStep, LastK, LastUpToStep, TailMean
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.goals import goal_of
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction_names import DEFAULT_REDUCE, REDUCTIONS

__all__ = [
    "DEFAULT_REDUCE",
    "FEWEST_IN_A_TENTH",
    "REDUCTIONS",
    "SHORT",
    "ReducedSeries",
    "Reduction",
    "common_step",
    "parse_reduce",
    "reduce_runs",
    "rewound",
]

_MOST_STEPS = (1 << 63) - 1  # the largest step
_MOST_VALUES = 1_000_000_000
_SHOWN = 60
FEWEST_IN_A_TENTH = 3
SHORT = 10 * FEWEST_IN_A_TENTH  # points; with fewer, the default reduction is the last value
_LATE = 0.2  # of a series' steps: a tenth of its points lies there, unless they are very uneven


class Reduction(Struct, frozen=True):
    """How a series becomes a number. ``amount`` is N or K (-1: the common step); ``metric`` is the M of at_best."""

    how: str
    amount: int = 0
    metric: str = ""

    def __str__(self) -> str:
        if self.metric:
            return f"{self.how}:{self.metric}"
        amount = "common" if self.amount < 0 else self.amount
        return f"{self.how}:{amount}" if self.how in ("at_step", "last_k") else self.how


class ReducedSeries(Struct, frozen=True):
    """A frame of run_id, metric and value (finite), and the series that could not be reduced, with reasons."""

    values: pl.DataFrame
    left_out: tuple[LeftOut, ...]
    points: int  # number of points behind the values
    step: int | None = None  # the step of the values, for at_step


def parse_reduce(text: str) -> Reduction:
    """Parses ``last``, ``at_step:100`` or ``last_k=5``. Raises InputError with the known words."""
    how, amount = [*re.split(r"[:=]", text.strip(), maxsplit=1), ""][:2]
    if how not in REDUCTIONS:
        raise _unknown_reduction(text)
    if how == "at_best":
        if not amount:
            raise InputError("reduce 'at_best' needs the metric whose best step is used, as in at_best:val/acc.")
        return Reduction(how, metric=amount)
    if how == "last_k" and not amount:
        return Reduction(how, 10)
    if how == "at_step" and amount in ("", "common"):
        return Reduction(how, -1)
    if how in ("at_step", "last_k"):
        return Reduction(how, _amount(how, amount))
    if amount:
        raise InputError(f"reduce {how!r} takes no number.")
    return Reduction(how)


def _unknown_reduction(text: str) -> UnknownNameError:
    """Returns the error for another word, with what it probably means: a number is a step."""
    known = f"reduce takes {', '.join(REDUCTIONS)}, as in last_tenth, at_step:1000, last_k:5 or at_best:val/acc."
    digits = re.sub(r"\.0+$", "", text.strip())
    if digits.isdecimal():
        return UnknownNameError(f"No reduce {text[:_SHOWN]!r}. Nearest: 'at_step:{digits[:_SHOWN]}'. {known}")
    last = re.fullmatch(r"(?:last|mean_last|avg_last)[ _-]?(\d{1,9})", text.strip())
    if last:
        return UnknownNameError(f"No reduce {text[:_SHOWN]!r}. Nearest: 'last_k:{last[1]}'. {known}")
    return UnknownNameError.of("reduce", text, REDUCTIONS, meaning="reduce", hint=known)


def _amount(how: str, digits: str) -> int:
    """Parses N of ``at_step:N`` or K of ``last_k:K``."""
    least, most = (0, _MOST_STEPS) if how == "at_step" else (1, _MOST_VALUES)
    whole = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most))
    if not whole or not least <= int(digits) <= most:
        shown = f"{how}:{digits}"[:_SHOWN]
        raise InputError(f"{shown!r} needs a whole number from {least} to {most} after the colon, as in {how}:100.")
    return int(digits)


def rewound(series: pl.DataFrame) -> pl.DataFrame:
    """Returns the (run_id, metric) of series that logged some step more than once."""
    return series.filter((pl.col("n") < pl.col("n_logged")) | (pl.col("rewinds") > 0)).select("run_id", "metric")


def reduce_runs(
    series: pl.DataFrame,
    points: PointSource,
    reduce: Reduction,
    *,
    goals: Mapping[str, str] | None = None,
    goal: str = "",
) -> ReducedSeries:
    """Returns one number for each series. ``points`` (raw) are read only if the series frame does not have the number.

    Raises AmbiguousGoalError for ``best`` of a metric whose goal is not known.
    """
    if reduce.how in ("at_step", "last_k", "points"):
        return _from_points(series, points, reduce)
    if reduce.how in ("auc", "at_best"):
        return _over_curves(series, points, reduce, goals)
    how = "last" if reduce.how == "last_tenth" else reduce.how
    values = series.select("run_id", "metric", "n_logged", value=_of_series(series, how, goals, goal))
    if reduce.how == "last_tenth":
        values = _with_tail_means(values, series, points)
    usable = pl.col("value").is_finite().fill_null(value=False)
    word = "last " if how == "last" else "first " if how == "first" else ""
    never = pl.col("n_logged") == 0  # an event
    left = (
        *_left_out(values.filter(never), "{metric}: it never happened"),
        *_left_out(
            values.filter(usable.not_() & never.not_()),
            "{metric}: no finite value" if not word else f"{{metric}}: {word}value is not finite",
        ),
    )
    kept = values.filter(usable)
    return ReducedSeries(kept.select("run_id", "metric", "value"), left, int(kept["n_logged"].sum()))


def _of_series(series: pl.DataFrame, how: str, goals: Mapping[str, str] | None, goal: str) -> pl.Expr:
    if how != "best":
        return pl.col(how)
    higher = [m for m in series["metric"].unique().to_list() if goal_of(m, goal, goals) == "higher"]
    return pl.when(pl.col("metric").is_in(higher)).then(pl.col("max")).otherwise(pl.col("min"))


def _with_tail_means(values: pl.DataFrame, series: pl.DataFrame, points: PointSource) -> pl.DataFrame:
    """Replaces values at the last step by the mean of the last tenth, if that has enough points and the last value is finite."""
    sizes = series.select("run_id", "metric", "first_step", "last_step", k=pl.col("n") // 10)
    tenth = sizes.filter(pl.col("k") >= FEWEST_IN_A_TENTH)
    if not tenth.height:
        return values
    long = series.join(tenth, on=["run_id", "metric"], how="semi")
    own = select_points(points, runs=long["run_id"].unique().to_list(), metrics=long["metric"].unique().to_list())
    means = _tail_means(standing(own, rewound(long)), tenth).rename({"value": "tail"})
    joined = values.join(means, on=["run_id", "metric"], how="left", maintain_order="left")
    tail = pl.when(pl.col("value").is_finite()).then(pl.coalesce("tail", "value")).otherwise(pl.col("value"))
    return joined.with_columns(value=tail).drop("tail")


def _tail_means(stand: Points, sizes: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, metric, value: the means of the last ``k`` points. ``sizes``: run_id, metric, k, first_step, last_step.

    Late steps are read first; only series that have fewer than ``k`` points there, as their steps are uneven, are read whole.
    """
    key, span = ["run_id", "metric"], pl.col("last_step") - pl.col("first_step")
    begin = sizes.select((pl.col("last_step") - span * _LATE).floor().min()).item()
    late = stand.select(step_min=int(begin)).reduce(TailMean(sizes)).join(sizes.select(*key, "k"), on=key)
    enough = late.filter(pl.col("n") >= pl.col("k")).select(*key, "value")
    short = sizes.join(enough, on=key, how="anti")
    return pl.concat([enough, stand.reduce(TailMean(short)).select(*key, "value")]) if short.height else enough


def _over_curves(
    series: pl.DataFrame, points: PointSource, reduce: Reduction, goals: Mapping[str, str] | None
) -> ReducedSeries:
    """Reduces each curve to its mean height, or to its value at the best step of another metric."""
    runs, metrics = series["run_id"].unique().to_list(), series["metric"].unique().to_list()
    stand = standing(select_points(points, runs=runs, metrics=metrics), rewound(series))
    if reduce.how == "auc":
        values, reason = stand.reduce(AreaUnderCurve()), "{metric}: fewer than two finite values, no area"
    else:
        values = stand.reduce(LastUpToStep(_best_steps(points, runs, reduce.metric, goals)))
        reason = f"{{metric}}: no finite value up to the best step of {reduce.metric}"
    left = _left_out(series.join(values, on=["run_id", "metric"], how="anti"), reason)
    return ReducedSeries(values.sort("run_id", "metric"), left, int(series["n_logged"].sum()))


def _best_steps(points: PointSource, runs: Sequence[str], metric: str, goals: Mapping[str, str] | None) -> pl.DataFrame:
    """Returns run_id, best_step. Raises InputError if no run logged the metric."""
    higher = goal_of(metric, goals=goals) == "higher"
    best = select_points(points, runs=runs, metrics=[metric]).last_writes().reduce(BestStep(higher))
    if not best.height:
        raise InputError(
            f"reduce 'at_best:{metric}': none of these runs logged {metric!r}; list_metrics shows all metrics."
        )
    return best


def _from_points(series: pl.DataFrame, points: PointSource, reduce: Reduction) -> ReducedSeries:
    runs, metrics = series["run_id"].unique().to_list(), series["metric"].unique().to_list()
    stand = standing(select_points(points, runs=runs, metrics=metrics), rewound(series))
    counted = int(series["n_logged"].sum())
    if reduce.how == "points":
        return ReducedSeries(stand.finite().fetch(["run_id", "metric", "value"]), (), counted)
    if reduce.how == "last_k":
        values = stand.reduce(LastK(reduce.amount))
        empty = values.filter(pl.col("value").is_null())
        left = _left_out(empty, f"{{metric}}: no finite value in the last {reduce.amount}")
        return ReducedSeries(values.drop_nulls("value").sort("run_id", "metric"), left, counted)
    step = common_step(series) if reduce.amount < 0 else reduce.amount
    reached = series.filter(pl.col("last_step") >= step)
    values = stand.reduce(AtStep(step)).join(reached.select("run_id", "metric"), on=["run_id", "metric"], how="semi")
    short = _left_out(series.filter(pl.col("last_step") < step), f"{{metric}}: ended before step {step}")
    none = _left_out(
        reached.join(values, on=["run_id", "metric"], how="anti"), f"{{metric}}: no finite value up to step {step}"
    )
    ordered = values.select("run_id", "metric", "value").sort("run_id", "metric")
    return ReducedSeries(ordered, (*short, *none), counted, step)


def common_step(series: pl.DataFrame) -> int:
    """Returns the last step that every series reached; 0 if there is none."""
    return int(series["last_step"].min() or 0)  # pyright: ignore[reportArgumentType]


def _left_out(rows: pl.DataFrame, reason: str) -> tuple[LeftOut, ...]:
    """Returns one entry per metric, with its runs in order."""
    grouped = rows.sort("metric", "run_id").group_by("metric", maintain_order=True).agg(pl.col("run_id"))
    return tuple(LeftOut(reason.format(metric=metric), tuple(ids)) for metric, ids in grouped.iter_rows())


def runs_lacking(metrics: Sequence[str], runs: pl.DataFrame, series: pl.DataFrame) -> tuple[LeftOut, ...]:
    """Returns runs that never logged a metric; metrics that the same runs lack share one reason."""
    all_runs = runs["run_id"]
    logged_any = series.filter(pl.col("metric").is_in(list(metrics))).select("metric", "run_id")
    of_metric = {str(m): rows["run_id"] for (m,), rows in logged_any.partition_by("metric", as_dict=True).items()}
    found: dict[tuple[str, ...], list[str]] = {}
    for metric in metrics:
        logged = of_metric.get(metric, all_runs.clear())
        if logged.equals(all_runs):  # the usual case, which is seen fastest
            continue
        lacking = tuple(all_runs.filter(~all_runs.is_in(logged.implode())).to_list())
        if lacking:
            found.setdefault(lacking, []).append(metric)
    return tuple(LeftOut(f"{', '.join(names)}: not logged", ids) for ids, names in found.items())
