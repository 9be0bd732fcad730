"""Prepares the context of detectors: goals, statistics with signs so that lower is better, and which series become curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl
from msgspec import Struct

from sweeplens.analyses.triage.abnormal_losses import suspect_losses
from sweeplens.analyses.triage.context import DetectionContext
from sweeplens.analyses.triage.level_shift import SHIFT_POINTS
from sweeplens.analyses.triage.metric_kinds import detection_goal, is_gradient, is_pace, is_schedule
from sweeplens.analyses.triage.restarts import restart_candidates
from sweeplens.config import Thresholds
from sweeplens.frames.goals import main_metrics, run_counts
from sweeplens.frames.schemas import FROM

__all__ = ["DiagnosisOptions", "curve_candidates", "detection_context", "first_main_series"]

_KEY = ["run_id", "metric"]
_MOVED = 0.3  # of the range of a series, between its first and last value


class DiagnosisOptions(Struct, frozen=True):
    """The options of a diagnosis."""

    thresholds: Thresholds
    now: datetime
    live_seconds: float = 600.0
    goals: Mapping[str, str] | None = None
    main: Sequence[str] = ()
    replicates: Sequence[str] = ()
    torn: frozenset[str] = frozenset()
    tasks: Sequence[str] = ()
    max_points: int = 5_000_000  # points that are read at most; the answer names the series beyond


def detection_context(runs: pl.DataFrame, series: pl.DataFrame, options: DiagnosisOptions) -> DetectionContext:
    """Returns the context, still without curves, and without the settings of sources, which say nothing about a run's own log."""
    names = series["metric"].unique().to_list()
    goals = {n: detection_goal(n, options.goals) for n in names}
    firsts = main_metrics(names, options.main, options.goals, counts=run_counts(series))
    main = tuple(m for m in firsts if goals[m] != "unknown")
    sign = pl.when(pl.col("goal") == "lower").then(1.0).when(pl.col("goal") == "higher").then(-1.0)
    lower = pl.col("goal") == "lower"
    goal = pl.col("metric").replace_strict(goals, return_dtype=pl.String) if goals else pl.lit("unknown")
    table = series.with_columns(
        goal=goal,
        n_finite=pl.col("n") - pl.col("n_nan") - pl.col("n_inf"),
        run_last=pl.col("last_step")
        .max()
        .over(pl.col("run_id").rle_id() if series["run_id"].is_sorted() else "run_id"),
    )
    table = table.with_columns(
        w_first=sign * pl.col("first"),
        w_last=sign * pl.col("last_finite"),
        w_mean=sign * pl.col("mean"),
        w_best=sign * pl.when(lower).then(pl.col("min")).otherwise(pl.col("max")),
        w_worst=sign * pl.when(lower).then(pl.col("max")).otherwise(pl.col("min")),
        w_best_step=pl.when(lower).then(pl.col("min_step")).otherwise(pl.col("max_step")),
    )
    return DetectionContext(
        runs.drop([c for c in runs.columns if c.startswith(FROM)]),
        table,
        options.thresholds,
        options.now,
        options.live_seconds,
        tuple(options.replicates),
        main,
        tuple(options.tasks),
        options.torn,
    )


def curve_candidates(context: DetectionContext) -> pl.DataFrame:
    """Returns the series that may be read as curves, with a column for each reason and ``ends_worse`` (of short series).

    ``with_goal``: divergence, spikes, overfitting and shifts; ``odd``: impossible losses and gradients; ``main``: plateaus;
    ``pace``: speed; ``level``: shifts of metrics without a goal; ``counter``: counters that may start again.
    """
    table = _by_run(context).with_columns(row=pl.int_range(pl.len()))
    table = _with_best(table.with_columns(pace_score=_pace_score(context)), best=pl.col("pace_score").max())
    reasons = {
        "with_goal": _has_goal(),
        "odd": suspect_losses(context),
        "pace": pl.col("pace_score") == pl.col("best"),
        "level": _may_shift(context),
        "main": _is_first_main(context),
        "counter": restart_candidates(context),
    }
    known = {name: reason.fill_null(value=False) for name, reason in reasons.items()}
    table = table.select(
        "run_id", "metric", "goal", "n_logged", "n_finite", ends_worse=_ends_worse().fill_null(value=False), **known
    )
    return table.filter(pl.any_horizontal("with_goal", "odd", "pace", "level", "counter"))


def _has_goal() -> pl.Expr:
    return (pl.col("goal") != "unknown") & (pl.col("n_finite") >= 2) & (pl.col("min") < pl.col("max"))


def _ends_worse() -> pl.Expr:
    """Returns whether a series ends so much worse than its best that its curve is examined even if it is short."""
    lost = pl.col("w_last") - pl.col("w_best")
    return (lost > 0) & (lost >= 0.02 * (pl.col("w_first") - pl.col("w_best")))


def _is_first_main(context: DetectionContext) -> pl.Expr:
    """Returns whether a series is of the first main metric that its run has."""
    is_first = (pl.col("order") == pl.col("first_order")) & (pl.col("order") < len(context.main))
    return is_first & (pl.col("n_finite") >= context.thresholds.min_points)


def _by_run(context: DetectionContext) -> pl.DataFrame:
    """Returns the series with the number of their ``run``, the ``order`` of their metric among the main ones, and the first order
    among all series of the run."""
    places = {m: i for i, m in enumerate(context.main)}
    order = pl.col("metric").replace_strict(places, default=len(places), return_dtype=pl.Int64)
    table = context.series.with_columns(run=pl.col("run_id").rle_id(), order=order)
    return _with_best(table, first_order=pl.col("order").min())


def _with_best(table: pl.DataFrame, **best: pl.Expr) -> pl.DataFrame:
    """Adds a figure of each run to all its series."""
    runs = table.group_by("run", maintain_order=True).agg(**best)
    return table.with_columns(runs[name].gather(table["run"]) for name in best)


def first_main_series(context: DetectionContext) -> pl.DataFrame:
    """Returns for each run the series of its first main metric: run_id, metric."""
    return _by_run(context).filter(_is_first_main(context)).select("run_id", "metric")


def _may_shift(context: DetectionContext) -> pl.Expr:
    """Returns whether the level of a series without a goal may have shifted; no schedules, counters or gradients."""
    names = context.series["metric"].unique().to_list()
    measured = [n for n in names if _measured(n)]
    moved = (pl.col("first") - pl.col("last_finite")).abs() >= _MOVED * (pl.col("max") - pl.col("min"))
    ends = pl.min_horizontal("min_step", "max_step").eq(pl.col("first_step")) & pl.max_horizontal(
        "min_step", "max_step"
    ).eq(pl.col("last_step"))  # a counter, or a drift without noise
    return (
        pl.col("metric").is_in(measured)
        & (pl.col("goal") == "unknown")
        & (pl.col("n_finite") >= SHIFT_POINTS)
        & (pl.col("min") < pl.col("max"))
        & moved
        & ends.not_()
    )


def _measured(metric: str) -> bool:
    """Returns whether a metric is measured, not set by a schedule: only then does a shift mean something."""
    return is_pace(metric) or not (is_schedule(metric) or is_gradient(metric))


def _pace_score(context: DetectionContext) -> pl.Expr:
    """Returns how well a series shows the speed of its run: by its points; ties: training first, then by name.

    Points, kind and row are one number, so that one look at each run finds the best.
    """
    enough = pl.col("n") >= 2 * context.thresholds.min_points
    training = [m for m in context.series["metric"].unique().to_list() if "train" in m.lower()]
    score = 2 * pl.col("n_logged") + pl.col("metric").is_in(training).cast(pl.Int64)
    return pl.when(enough).then(score * context.series.height - pl.col("row"))
