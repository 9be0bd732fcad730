"""Curves for display: few points that keep the shape, and the count of points that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.answers import Answer, Basis
from sweeplens.errors import InputError
from sweeplens.interrupt import checkpoint
from sweeplens.points import select_points, standing, thin
from sweeplens.reduction import rewound, runs_without

__all__ = ["MAX_POINTS", "curves"]

MAX_POINTS = 10_000
_CURVE = {"run_id": pl.String(), "metric": pl.String(), "x": pl.Float64(), "value": pl.Float64()}
_SERIES = {
    "run_id": pl.String(), "metric": pl.String(), "n": pl.Int64(), "n_shown": pl.Int64(), "spark": pl.String(),
    "log": pl.Boolean(),
}  # fmt: skip


def curves(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    metrics: Sequence[str],
    *,
    x: str = "step",
    x_min: float | None = None,
    x_max: float | None = None,
    max_points: int = 50,
) -> Answer:
    """run_id, metric, x, value: at most ``max_points`` a series, in order of x.

    ``x`` is ``step``, ``wall_time`` (seconds since the run's first point) or any metric of the same run, joined on step.
    Raises InputError for a bound that cannot be met.
    """
    if not 2 <= max_points <= MAX_POINTS:
        raise InputError(f"max_points {max_points} is not between 2 and {MAX_POINTS}.")
    from sweeplens.analyses.sparklines import is_log, sparkline  # numpy loads with it

    asked = series.filter(pl.col("metric").is_in(list(metrics)) & pl.col("run_id").is_in(runs["run_id"].to_list()))
    drawn = _placed(asked, series, points, x)
    drawn = _within(drawn, x_min, x_max).sort("run_id", "metric", "x", maintain_order=True)
    parts = [(key, part) for key, part in drawn.group_by(["run_id", "metric"], maintain_order=True)]
    thinned = [_thinned(part, max_points) for _, part in parts]
    table = pl.concat([pl.DataFrame(schema=_CURVE), *(t.select(*_CURVE) for t in thinned)])
    rows = [
        (*key, part.height, shown.height, sparkline(v := part["value"].to_numpy()), is_log(v))
        for (key, part), shown in zip(parts, thinned, strict=True)
    ]
    summary = pl.DataFrame(rows, schema=_SERIES, orient="row")
    cut = int((summary["n"] > summary["n_shown"]).sum())
    sampling = (
        f"{cut} of {summary.height} series are shown by {max_points} points each; first, last, extremes, NaN changes, bends kept"
        if cut
        else ""
    )
    basis = Basis(
        runs_used=summary["run_id"].n_unique(),
        left_out=runs_without(metrics, runs, series),
        points=drawn.height,
        sampling=sampling,
    )
    return Answer(table, basis, tables={"series": summary})


def _thinned(part: pl.DataFrame, max_points: int) -> pl.DataFrame:
    checkpoint()
    return thin(part, max_points)


def _placed(asked: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, x: str) -> pl.DataFrame:
    """The standing points of the series asked for, with their x."""
    ids, names = asked["run_id"].unique().to_list(), asked["metric"].unique().to_list()
    stand = standing(select_points(points, runs=ids, metrics=names), rewound(asked))
    if x == "step":
        return stand.select("run_id", "metric", pl.col("step").cast(pl.Float64).alias("x"), "value").collect()
    if x == "wall_time":
        began = pl.col("wall_time").min().over("run_id")
        seconds = (pl.col("wall_time") - began).dt.total_microseconds() / 1e6
        return (
            stand.filter(pl.col("wall_time").is_not_null())
            .select("run_id", "metric", seconds.alias("x"), "value")
            .collect()
        )
    of_axis = series.filter((pl.col("metric") == x) & pl.col("run_id").is_in(ids))
    axis = standing(select_points(points, runs=ids, metrics=[x]), rewound(of_axis))
    at = axis.select("run_id", "step", pl.col("value").alias("x"))
    return stand.join(at, on=["run_id", "step"]).select("run_id", "metric", "x", "value").collect()


def _within(drawn: pl.DataFrame, x_min: float | None, x_max: float | None) -> pl.DataFrame:
    if x_min is not None:
        drawn = drawn.filter(pl.col("x") >= x_min)
    if x_max is not None:
        drawn = drawn.filter(pl.col("x") <= x_max)
    return drawn
