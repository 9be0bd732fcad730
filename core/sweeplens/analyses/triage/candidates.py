"""Runs and series -> the scene: goals, turned statistics, and which series a detector would like to see as a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl
from msgspec import Struct

from sweeplens.analyses.triage.context import DetectionContext
from sweeplens.analyses.triage.pairs import train_of
from sweeplens.config import Thresholds
from sweeplens.frames.goals import main_metrics, outcome_goal

__all__ = ["DiagnosisOptions", "diverging", "enriched", "jumping", "losses", "overfitting", "paced"]

_KEY = ["run_id", "metric"]


class DiagnosisOptions(Struct, frozen=True):
    """What a diagnosis knows beside the frames."""

    thresholds: Thresholds
    now: datetime
    live_seconds: float = 600.0
    goals: Mapping[str, str] | None = None
    main: Sequence[str] = ()
    replicates: Sequence[str] = ()
    torn: frozenset[str] = frozenset()
    max_points: int = 5_000_000  # that are read; the answer says what was not looked at


def enriched(runs: pl.DataFrame, series: pl.DataFrame, options: DiagnosisOptions) -> DetectionContext:
    """The scene without curves."""
    names = series["metric"].unique().to_list()
    goals = {n: outcome_goal(n, options.goals) for n in names}
    main = tuple(m for m in main_metrics(names, options.main, options.goals) if goals[m] != "unknown")
    sign = pl.when(pl.col("goal") == "lower").then(1.0).when(pl.col("goal") == "higher").then(-1.0)
    lower = pl.col("goal") == "lower"
    goal = pl.col("metric").replace_strict(goals, return_dtype=pl.String) if goals else pl.lit("unknown")
    table = series.with_columns(
        goal=goal,
        n_finite=pl.col("n") - pl.col("n_nan") - pl.col("n_inf"),
        run_last=pl.col("last_step").max().over("run_id"),
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
        runs,
        table,
        options.thresholds,
        options.now,
        options.live_seconds,
        tuple(options.replicates),
        main,
        options.torn,
    )


def paced(scene: DetectionContext) -> pl.DataFrame:
    """Of each run the series that shows its pace best."""
    return _one_a_run(scene.series.filter(pl.col("n") >= 2 * scene.thresholds.min_points))


def losses(scene: DetectionContext) -> pl.DataFrame:
    """Of each run the lower-is-better series with the most points."""
    enough = pl.col("n_finite") >= 2 * scene.thresholds.min_points
    return _one_a_run(scene.series.filter((pl.col("goal") == "lower") & enough))


def _one_a_run(series: pl.DataFrame) -> pl.DataFrame:
    """The series of each run with the most points; training before others, then by name."""
    training = pl.col("metric").str.to_lowercase().str.contains("train")
    order = series.with_columns(training=training).sort(
        "run_id", "n_logged", "training", "metric", descending=[False, True, True, False]
    )
    return order.unique("run_id", keep="first", maintain_order=True)


def diverging(scene: DetectionContext) -> pl.DataFrame:
    """Series whose last value is far from the best, by a quarter of what was learned or many times over."""
    lost = pl.col("w_last") - pl.col("w_best")
    return scene.series.filter(
        (pl.col("n_finite") >= 2)
        & (lost > 0)
        & (lost >= 0.25 * (pl.col("w_first").fill_nan(None).fill_null(pl.col("w_worst")) - pl.col("w_best")))
        & (pl.col("w_last") > pl.col("w_mean"))
    )


def overfitting(scene: DetectionContext) -> pl.DataFrame:
    """Validation series that rose above their best, with their training twins."""
    twins = train_of(scene.series["metric"].unique().to_list())
    rise = (pl.col("w_last") - pl.col("w_best")) / pl.col("w_best").abs()
    val = scene.series.filter(
        pl.col("metric").is_in(list(twins)) & (pl.col("n_finite") >= 5) & (rise >= scene.thresholds.overfit_rise / 2)
    )
    pairs = val.select("run_id", metric=pl.col("metric").replace(twins)).unique()
    return pl.concat([val, scene.series.join(pairs, on=_KEY, how="semi")])


def jumping(scene: DetectionContext) -> pl.DataFrame:
    """Lower-is-better series with a worst value that stands far out of all the others."""
    return scene.series.filter(
        (pl.col("goal") == "lower")
        & (pl.col("n_finite") >= scene.thresholds.min_points)
        & ((pl.col("max") - pl.col("mean")) > 5 * pl.col("std"))
        & (pl.col("max_step") > pl.col("first_step"))
    )
