"""Points of a snapshot for analyses, whichever engine holds them, and what is made of points in memory.

    select_points, standing    a selection of `engines.protocol.Points`, with reduce, bucket and fetch
    reduce_series              the series frame of points in memory, for ingest
    thin                       downsampled curves; their number of points: `kept_by_thin`
    in_batches                 runs in batches of bounded size

Names are resolved before. If a step was logged more than once, the last write counts: `standing` drops the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from sweeplens.engines.polars_points import last_of_step, scanned
from sweeplens.engines.protocol import Points, PointSource
from sweeplens.frames.schemas import SERIES_SCHEMA

__all__ = [
    "in_batches",
    "kept_by_thin",
    "reduce_series",
    "select_points",
    "series_statistics",
    "standing",
    "thin",
]

_KEY = ["run_id", "metric"]


def select_points(
    points: PointSource,
    *,
    runs: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    step_min: int | None = None,
    step_max: int | None = None,
) -> Points:
    """Returns the points of these runs and metrics (None: all) with a step in the range, ends included."""
    return scanned(points).select(runs=runs, metrics=metrics, step_min=step_min, step_max=step_max)


def standing(points: PointSource, rewound: pl.DataFrame) -> Points:
    """Returns points with the last write of each step. ``rewound``: the (run_id, metric) of series that repeated a step."""
    return scanned(points).standing(rewound)


def in_batches(runs: Sequence[str], series: pl.DataFrame, most: int) -> Iterator[list[str]]:
    """Yields the runs with points, in order, in batches of at most ``most`` points, or of one run that has more."""
    sizes: dict[str, int] = dict(series.group_by("run_id").agg(pl.col("n_logged").sum()).iter_rows())
    batch: list[str] = []
    rows = 0
    for run in runs:
        size = sizes.get(run, 0)
        if batch and rows + size > most:
            yield batch
            batch, rows = [], 0
        if size:
            batch.append(run)
            rows += size
    if batch:
        yield batch


def reduce_series(points: pl.DataFrame) -> pl.DataFrame:
    """Returns the series frame of raw points (all points of each series, in logged order)."""
    order = points.lazy().group_by(_KEY).agg(
        pl.len().cast(pl.Int64).alias("n_logged"),
        (pl.col("step").diff() < 0).sum().cast(pl.Int64).alias("rewinds"),
        (pl.col("step").diff() <= 0).any().alias("repeats"),
    ).collect()  # fmt: skip
    stand = last_of_step(points.lazy(), order.filter(pl.col("repeats").fill_null(value=False)))
    stats = stand.group_by(_KEY).agg(series_statistics()).collect()
    return stats.join(order.drop("repeats"), on=_KEY).select(*SERIES_SCHEMA).cast(SERIES_SCHEMA).sort(_KEY)  # pyright: ignore[reportArgumentType]


def series_statistics() -> list[pl.Expr]:
    """Returns one expression per column of the series frame (without ``n_logged`` and ``rewinds``), for standing points by step."""
    step, value = pl.col("step"), pl.col("value")
    finite = pl.when(value.is_finite()).then(value)
    return [
        pl.len().alias("n"),
        value.is_nan().sum().alias("n_nan"),
        value.is_infinite().sum().alias("n_inf"),
        step.first().alias("first_step"),
        step.last().alias("last_step"),
        value.first().alias("first"),
        value.last().alias("last"),
        finite.min().alias("min"),
        step.get(finite.arg_min()).alias("min_step"),
        finite.max().alias("max"),
        step.get(finite.arg_max()).alias("max_step"),
        finite.mean().alias("mean"),
        finite.std().alias("std"),
        finite.drop_nulls().last().alias("last_finite"),
        step.filter(value.is_finite()).last().alias("last_finite_step"),
        step.filter(value.is_finite().not_()).first().alias("first_nonfinite_step"),
    ]


def thin(series: pl.DataFrame, most: int) -> pl.DataFrame:
    """Downsamples one curve (columns x, value; in order of x) to at most ``most`` rows. Deterministic; keeps the shape.

    First, last, minimum, maximum and every change to or from NaN stay. Half of the remaining rows are change points,
    each the row farthest from the straight line between rows kept so far; half come from buckets of equal width, each
    the row farthest from the bucket's mean. If there are too many changes to or from NaN, the first and last of them stay.
    """
    if series.height <= most:
        return series
    from sweeplens.frames.downsampling import shape_keeping_rows  # loads numpy only when a curve is downsampled

    x, value = (series[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in ("x", "value"))
    return series[shape_keeping_rows(x, value, most)]


def kept_by_thin(most: int) -> pl.Expr:
    """Returns how many rows `thin` keeps of a curve (column value, in order of x): ``most``, or fewer with long stretches of NaN.

    It can choose among rows with finite values and the ends of stretches without.
    """
    finite = pl.col("value").is_finite().fill_null(value=False)
    beside = finite.shift(1, fill_value=True) | finite.shift(-1, fill_value=True)  # the curve's own ends count too
    return pl.when(pl.len() <= most).then(pl.len()).otherwise(pl.min_horizontal((finite | beside).sum(), most))
