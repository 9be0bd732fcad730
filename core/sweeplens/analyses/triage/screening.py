"""Runs, series and points -> the scene: goals, turned statistics, and the few curves that a detector may need.

Points are read once, and only of series that the series frame does not acquit. More than ``MAX_POINTS`` are not read: the
candidates with the fewest points then come first, and the answer says how many were not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from sweeplens.analyses.triage.from_series import most_rewound
from sweeplens.analyses.triage.pairs import train_of
from sweeplens.analyses.triage.scene import Curve, Scene
from sweeplens.config import Thresholds
from sweeplens.goals import known_goal, main_metrics
from sweeplens.points import select_points, standing
from sweeplens.reduction import rewound

__all__ = ["MAX_POINTS", "Options", "draw", "enriched"]

MAX_POINTS = 5_000_000
_KEY = ["run_id", "metric"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a diagnosis knows beside the frames."""

    thresholds: Thresholds
    now: datetime
    live_seconds: float = 600.0
    goals: Mapping[str, str] | None = None
    main: Sequence[str] = ()
    replicates: Sequence[str] = ()
    torn: frozenset[str] = frozenset()


def enriched(runs: pl.DataFrame, series: pl.DataFrame, options: Options) -> Scene:
    """The scene without curves."""
    names = series["metric"].unique().to_list()
    goals = {n: known_goal(n, options.goals) for n in names}
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
    return Scene(
        runs,
        table,
        options.thresholds,
        options.now,
        options.live_seconds,
        tuple(options.replicates),
        main,
        options.torn,
    )


def draw(scene: Scene, points: pl.LazyFrame) -> tuple[Scene, int, int]:
    """The scene with its curves, how many points they hold, and how many candidates were not looked at."""
    paced = _one_a_run(scene.series.filter(pl.col("n") >= scene.thresholds.min_points))
    losses = _one_a_run(
        scene.series.filter((pl.col("goal") == "lower") & (pl.col("n_finite") >= scene.thresholds.min_points))
    )
    screened = pl.concat(
        [f.select(*_KEY, "n_logged") for f in (_diverging(scene), _overfitting(scene), _jumping(scene))]
    )
    asked = pl.concat([screened.with_columns(order=0), pl.concat([losses, paced]).select(*_KEY, "n_logged", order=1)])
    asked = asked.sort("order", "n_logged", *_KEY).unique(_KEY, keep="first", maintain_order=True)
    kept = asked.filter(pl.col("n_logged").cum_sum() <= MAX_POINTS)
    curves, n = _fetched(scene.series, kept.select(_KEY), points)
    spiky = pl.concat([losses.select(_KEY), _jumping(scene).select(_KEY)]).unique()
    drawn = replace(
        scene, curves=curves, pace=_keys(paced), losses=_keys(spiky), rewound_to=_rewound_to(scene.series, points)
    )
    return drawn, n, asked.height - kept.height


def _keys(frame: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    return tuple(frame.select(_KEY).sort(_KEY).iter_rows())


def _one_a_run(series: pl.DataFrame) -> pl.DataFrame:
    """The series of each run with the most points; training before others, then by name."""
    training = pl.col("metric").str.to_lowercase().str.contains("train")
    order = series.with_columns(training=training).sort(
        "run_id", "n_logged", "training", "metric", descending=[False, True, True, False]
    )
    return order.unique("run_id", keep="first", maintain_order=True)


def _diverging(scene: Scene) -> pl.DataFrame:
    """Series whose last value is far from the best, by a quarter of what was learned or many times over."""
    lost = pl.col("w_last") - pl.col("w_best")
    return scene.series.filter(
        (pl.col("n_finite") >= 2)
        & (lost > 0)
        & (lost >= 0.25 * (pl.col("w_first").fill_nan(None).fill_null(pl.col("w_worst")) - pl.col("w_best")))
        & (pl.col("w_last") > pl.col("w_mean"))
    )


def _overfitting(scene: Scene) -> pl.DataFrame:
    """Validation series that rose above their best, with their training twins."""
    twins = train_of(scene.series["metric"].unique().to_list())
    rise = (pl.col("w_last") - pl.col("w_best")) / pl.col("w_best").abs()
    val = scene.series.filter(
        pl.col("metric").is_in(list(twins)) & (pl.col("n_finite") >= 5) & (rise >= scene.thresholds.overfit_rise / 2)
    )
    pairs = val.select("run_id", metric=pl.col("metric").replace(twins)).unique()
    return pl.concat([val, scene.series.join(pairs, on=_KEY, how="semi")])


def _jumping(scene: Scene) -> pl.DataFrame:
    """Lower-is-better series with a worst value that stands far out of all the others."""
    return scene.series.filter(
        (pl.col("goal") == "lower")
        & (pl.col("n_finite") >= scene.thresholds.min_points)
        & ((pl.col("max") - pl.col("mean")) > 5 * pl.col("std"))
        & (pl.col("max_step") > pl.col("first_step"))
    )


def _fetched(
    series: pl.DataFrame, keys: pl.DataFrame, points: pl.LazyFrame
) -> tuple[dict[tuple[str, str], Curve], int]:
    if not keys.height:
        return {}, 0
    numbered = keys.with_row_index("sid")
    of_keys = series.join(numbered, on=_KEY)
    chosen = select_points(points, runs=keys["run_id"].unique().to_list(), metrics=keys["metric"].unique().to_list())
    seconds = (pl.col("wall_time").dt.timestamp("us") / 1e6).alias("seconds")
    frame = (
        standing(chosen, rewound(of_keys)).join(numbered.lazy(), on=_KEY)
        .filter(pl.col("value").is_finite()).select("sid", "step", "value", seconds).sort("sid", "step").collect()
    )  # fmt: skip
    return _cut(frame, of_keys), frame.height


def _rewound_to(series: pl.DataFrame, points: pl.LazyFrame) -> dict[tuple[str, str], int]:
    """The step that the longest rewound series of each run first went back to."""
    keys = most_rewound(series).select(_KEY)
    if not keys.height:
        return {}
    chosen = select_points(points, runs=keys["run_id"].to_list(), metrics=keys["metric"].unique().to_list())
    back = pl.col("step").filter(pl.col("step").diff() < 0).first()
    rows = chosen.join(keys.lazy(), on=_KEY, how="semi").group_by(_KEY).agg(back).drop_nulls().collect()
    return {(run, metric): step for run, metric, step in rows.iter_rows()}


def _cut(frame: pl.DataFrame, of_keys: pl.DataFrame) -> dict[tuple[str, str], Curve]:
    """Slices of three arrays, one for each series."""
    bounds = (
        frame.with_row_index("row")
        .group_by("sid")
        .agg(pl.col("row").first(), pl.len(), timed=pl.col("seconds").is_not_null().all())
    )
    steps, values, seconds = frame["step"].to_numpy(), frame["value"].to_numpy(), frame["seconds"].to_numpy()
    curves: dict[tuple[str, str], Curve] = {}
    for run, metric, goal, row, n, timed in (
        bounds.join(of_keys, on="sid").select("run_id", "metric", "goal", "row", "len", "timed").iter_rows()
    ):
        part = slice(row, row + n)
        worse = -values[part] if goal == "higher" else values[part]
        curves[run, metric] = Curve(
            run, metric, goal, steps[part], worse, values[part], seconds[part] if timed else None
        )
    return curves
