"""The only module that scans points, with four operations on fixed columns; names are resolved before.

    select    the points of some runs, metrics and steps, lazily: `select_points`, `standing`
    reduce    one row per series: `reduce_series`; one number per series: `reduce_tail`, `reduce_area` ...
    bucket    downsampled curves: `thin`; their number of points: `kept_by_thin`
    fetch     a frame: the caller's `collect`

If a step was logged more than once, the last write counts. `standing` drops the others; only series that rewound cost time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from sweeplens.frames.schemas import SERIES_SCHEMA

__all__ = [
    "early_stops",
    "first_step_where",
    "fluctuation",
    "in_batches",
    "kept_by_thin",
    "reduce_area",
    "reduce_at",
    "reduce_at_step",
    "reduce_at_x",
    "reduce_last_k",
    "reduce_series",
    "reduce_tail",
    "seconds_at",
    "select_points",
    "series_statistics",
    "standing",
    "thin",
    "wall_seconds",
]

_KEY = ["run_id", "metric"]
_PAUSE_SECONDS, _PAUSE_GAPS = 3600, 20
_LEAST_PATIENCE = 3  # points
_LATE = 0.2  # of a series' steps: a tenth of its points lies there, unless they are very uneven


def select_points(
    points: pl.LazyFrame,
    *,
    runs: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    step_min: int | None = None,
    step_max: int | None = None,
) -> pl.LazyFrame:
    """Returns the points of these runs and metrics (None: all) with a step in the range, ends included."""
    if runs is not None:
        points = points.filter(pl.col("run_id").is_in(list(runs)))
    if metrics is not None:
        points = points.filter(pl.col("metric").is_in(list(metrics)))
    if step_min is not None:
        points = points.filter(pl.col("step") >= step_min)
    if step_max is not None:
        points = points.filter(pl.col("step") <= step_max)
    return points


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


def standing(points: pl.LazyFrame, rewound: pl.DataFrame) -> pl.LazyFrame:
    """Returns points with the last write of each step, ordered by step within each series.

    ``rewound``: the (run_id, metric) of series that logged a step twice or went back; all others stay unchanged.
    """
    if not rewound.height:
        return points
    keys = rewound.lazy().select(_KEY)
    clean = points.join(keys, on=_KEY, how="anti")
    last = (
        points.join(keys, on=_KEY, how="semi")
        .sort(*_KEY, "step", "seq")
        .unique([*_KEY, "step"], keep="last", maintain_order=True)
    )
    return pl.concat([clean, last])


def reduce_series(points: pl.DataFrame) -> pl.DataFrame:
    """Returns the series frame of raw points (all points of each series, in logged order)."""
    order = points.lazy().group_by(_KEY).agg(
        pl.len().cast(pl.Int64).alias("n_logged"),
        (pl.col("step").diff() < 0).sum().cast(pl.Int64).alias("rewinds"),
        (pl.col("step").diff() <= 0).any().alias("repeats"),
    ).collect()  # fmt: skip
    stand = standing(points.lazy(), order.filter(pl.col("repeats").fill_null(value=False)))
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


def reduce_last_k(stand: pl.LazyFrame, k: int) -> pl.DataFrame:
    """Returns run_id, metric, value: the mean of the finite values among the last ``k`` standing points of each series."""
    finite = pl.when(pl.col("value").is_finite()).then(pl.col("value"))
    return stand.group_by(_KEY).agg(finite.sort_by("step").tail(k).mean().alias("value")).collect()


def reduce_tail(stand: pl.LazyFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, metric, value: as `reduce_last_k`, with ``k`` for each series in ``sizes`` (run_id, metric, k, first_step,
    last_step).

    Late steps are read first; only series that have fewer than ``k`` points there, as their steps are uneven, are read whole.
    """
    step = pl.col("step")
    begin = sizes.select(
        (pl.col("last_step") - (pl.col("last_step") - pl.col("first_step")) * _LATE).floor().min()
    ).item()
    late = _tail_means(stand.filter(step >= begin), sizes)
    short = sizes.join(late.filter(pl.col("n") >= pl.col("k")), on=_KEY, how="anti")
    if short.height:
        late = pl.concat([late.join(short, on=_KEY, how="anti"), _tail_means(stand, short)])
    return late.select(*_KEY, "value")


def _tail_means(stand: pl.LazyFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, metric, value, n (points read), k."""
    finite = pl.when(pl.col("value").is_finite()).then(pl.col("value"))
    known = stand.select(*_KEY, "step", "value").join(sizes.lazy().select(*_KEY, "k"), on=_KEY)
    k = pl.col("k").first()
    tail = finite.sort_by("step").tail(k).mean()
    return known.group_by(_KEY).agg(tail.alias("value"), pl.len().alias("n"), k.alias("k")).collect()


def reduce_area(stand: pl.LazyFrame) -> pl.DataFrame:
    """Returns run_id, metric, value: the area under the finite values over steps (trapezoids), divided by the span of the steps."""
    step, value = (pl.col(c).sort_by("step") for c in ("step", "value"))
    width = step.diff()
    area = (width * (value + value.shift(1)) / 2).sum() / width.sum()
    kept = stand.filter(pl.col("value").is_finite()).group_by(_KEY).agg(area.alias("value"), pl.len().alias("n"))
    return kept.filter(pl.col("n") > 1).select(*_KEY, "value").collect()


def fluctuation(stand: pl.LazyFrame) -> pl.DataFrame:
    """Returns run_id, metric, noise: the standard deviation of values around their trend, in the second half of each series.

    It is computed from differences of neighbours, which a slow trend hardly affects (von Neumann 1941).
    """
    value = pl.col("value").sort_by("step")
    late = value.tail(pl.len() - pl.len() // 2)
    noise = ((late.diff() ** 2).mean() / 2).sqrt()
    return stand.filter(pl.col("value").is_finite()).group_by(_KEY).agg(noise.alias("noise")).collect()


def reduce_at(stand: pl.LazyFrame, steps: pl.LazyFrame) -> pl.DataFrame:
    """Returns run_id, metric, value: the last finite value up to the run's own ``best_step``."""
    kept = stand.join(steps, on="run_id").filter((pl.col("step") <= pl.col("best_step")) & pl.col("value").is_finite())
    return kept.group_by(_KEY).agg(pl.col("value").sort_by("step").last()).collect()


def reduce_at_x(curves: pl.DataFrame, most: float) -> pl.DataFrame:
    """Returns run_id, value: the last value up to ``most`` on the axis ``x`` of curves with finite values."""
    return curves.filter(pl.col("x") <= most).group_by("run_id").agg(pl.col("value").sort_by("x").last())


def reduce_at_step(stand: pl.LazyFrame, step: int) -> pl.DataFrame:
    """Returns run_id, metric, value, step: the last finite value up to ``step``."""
    kept = stand.filter((pl.col("step") <= step) & pl.col("value").is_finite())
    return kept.group_by(_KEY).agg(pl.col("value").sort_by("step").last(), pl.col("step").max()).collect()


def first_step_where(stand: pl.LazyFrame, condition: pl.Expr) -> pl.DataFrame:
    """Returns run_id, best_step: the first step of each run at which a condition on the value holds."""
    return stand.filter(condition).group_by("run_id").agg(best_step=pl.col("step").min()).collect()


def seconds_at(points: pl.LazyFrame, metric: str, steps: pl.LazyFrame) -> pl.DataFrame:
    """Returns run_id, seconds: from the run's first point to its own ``best_step``; only where times are logged.

    The time is that of ``metric`` at the step; where it has none, the latest that any metric of the run has up to there.
    """
    timed = points.select("run_id", "metric", "step", "wall_time").filter(pl.col("wall_time").is_not_null())
    began = timed.group_by("run_id").agg(began=pl.col("wall_time").min())
    reached = timed.join(steps, on="run_id").filter(pl.col("step") <= pl.col("best_step"))
    own = pl.col("wall_time").filter((pl.col("metric") == metric) & (pl.col("step") == pl.col("best_step"))).last()
    latest = pl.col("wall_time").sort_by("step").last()
    at = reached.group_by("run_id").agg(at=pl.coalesce(own, latest))
    since = (pl.col("at") - pl.col("began")).dt.total_microseconds() / 1e6
    return at.join(began, on="run_id").select("run_id", seconds=since).collect()


def early_stops(stand: pl.LazyFrame, *, lower: bool) -> pl.DataFrame:
    """Returns run_id, stop_step, stop_best of one metric with finite values: where a tenth of its points, at least three, brought
    no new best for the first time, and the best until then; only runs that would have stopped before their last point.
    """
    value = pl.col("value").sort_by("step") * (1 if lower else -1)
    best = value.cum_min()
    place = pl.int_range(pl.len())
    since = place - pl.when(value.eq(best) & (best < best.shift(1)).fill_null(value=True)).then(place).forward_fill()
    patience = pl.max_horizontal(pl.len() // 10, pl.lit(_LEAST_PATIENCE))
    over = (since >= patience) & (place < pl.len() - 1)
    step = pl.col("step").sort()
    found = stand.group_by("run_id").agg(
        stop_step=step.filter(over).first(), stop_best=best.filter(over).first() * (1 if lower else -1)
    )
    return found.filter(pl.col("stop_step").is_not_null()).collect()


def wall_seconds(points: pl.LazyFrame) -> pl.DataFrame:
    """Returns run_id, seconds from the first to the last point without pauses, and whether there were pauses.

    A pause is a gap of more than an hour and of more than twenty times the run's mean gap without its longest one.
    """
    times = points.filter(pl.col("wall_time").is_not_null()).select("run_id", "wall_time").unique()
    gap = pl.col("wall_time").sort().diff().dt.total_microseconds() / 1e6
    usual = (gap.sum() - gap.max()) / (pl.len() - 2)
    is_pause = (gap > _PAUSE_SECONDS) & (gap > _PAUSE_GAPS * usual)
    found = times.group_by("run_id").agg(seconds=gap.filter(is_pause.not_()).sum(), paused=is_pause.any(), n=pl.len())
    return found.filter(pl.col("n") > 1).drop("n").collect()


def thin(series: pl.DataFrame, most: int) -> pl.DataFrame:
    """Downsamples one curve (columns x, value; in order of x) to at most ``most`` rows. Deterministic; keeps the shape.

    First, last, minimum, maximum and every change to or from NaN stay. Half of the remaining rows are change points,
    each the row farthest from the straight line between rows kept so far; half come from buckets of equal width, each
    the row farthest from the bucket's mean. If there are too many changes to or from NaN, the first and last of them stay.
    """
    if series.height <= most:
        return series
    from sweeplens.frames.downsampling import shape_keeping_rows  # loads numpy only when a curve is downsampled

    return series[shape_keeping_rows(series, most)]


def kept_by_thin(most: int) -> pl.Expr:
    """Returns how many rows `thin` keeps of a curve (column value, in order of x): ``most``, or fewer with long stretches of NaN.

    It can choose among rows with finite values and the ends of stretches without.
    """
    finite = pl.col("value").is_finite().fill_null(value=False)
    beside = finite.shift(1, fill_value=True) | finite.shift(-1, fill_value=True)  # the curve's own ends count too
    return pl.when(pl.len() <= most).then(pl.len()).otherwise(pl.min_horizontal((finite | beside).sum(), most))
