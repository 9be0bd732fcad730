"""Curves for display, downsampled to few points that keep the shape, with the original number of points.

    locate_curves   the series that exist and their numbers of points, mostly from the series frame alone
    thin_curves     these curves as a lazy answer: a series is read and downsampled when its rows are requested

The number of rows of a series is known without downsampling it (`points.kept_by_thin`), so rows, counts and cursors equal
those of a complete answer, while only the series shown are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.answers import Answer, Basis, LazyAnswer, LeftOut
from sweeplens.cancellation import checkpoint
from sweeplens.counting import verb
from sweeplens.engines.protocol import Points, PointSource
from sweeplens.engines.reductions import MissingTimes, PointCount
from sweeplens.errors import InputError
from sweeplens.frames.points import kept_by_thin, select_points, standing
from sweeplens.frames.reduction import rewound, runs_lacking
from sweeplens.frames.selection import check_range

__all__ = ["MAX_POINTS", "LocatedCurves", "locate_curves", "thin_curves"]

MAX_POINTS = 10_000
_KEY = ["run_id", "metric"]
_CURVE = {"run_id": pl.String(), "metric": pl.String(), "x": pl.Float64(), "value": pl.Float64()}
_SERIES = {
    "run_id": pl.String(), "metric": pl.String(), "n": pl.Int64(), "n_shown": pl.Int64(), "spark": pl.String(),
    "log": pl.Boolean(),
}  # fmt: skip


class CurveSelection(Struct, frozen=True):
    """The points of curves: their source, their x axis, and its bounds.

    ``twice``: the (run_id, metric) of series, the axis included, that logged a step more than once.
    """

    points: PointSource
    twice: pl.DataFrame
    metrics: tuple[str, ...]
    x: str
    x_min: float | None
    x_max: float | None
    borrows_times: bool = False  # points without a time take that of another row at their step

    def of(self, keys: pl.DataFrame) -> Points:
        """Returns the points of these series with their x, unordered."""
        return self._placed(keys).of_series(keys).within(self.x_min, self.x_max)

    def drawn(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Returns run_id, metric, x, value in display order; points of equal x in order of step."""
        read = self.of(keys).fetch([*_KEY, "step", "x", "value"], needed=keys)
        return read.sort(*_KEY, "x", "step").select(*_CURVE)

    def _placed(self, keys: pl.DataFrame) -> Points:
        ids = keys["run_id"].unique().to_list()
        if self.x == "wall_time":  # since the run's first point in any metric asked for, whichever are shown here
            return self._timed(ids).on_time()
        stand = self._standing(ids, keys["metric"].unique().to_list())
        return stand.on_step() if self.x == "step" else stand.on_metric(self._standing(ids, [self.x]))

    def _timed(self, ids: Sequence[str]) -> Points:
        """Returns the points of all requested metrics; a point without a time takes that of another row at its step."""
        mine = self._standing(ids, self.metrics)
        return mine.with_times_of(select_points(self.points, runs=ids)) if self.borrows_times else mine

    def _standing(self, ids: Sequence[str], metrics: Sequence[str]) -> Points:
        twice = self.twice.filter(pl.col("run_id").is_in(ids) & pl.col("metric").is_in(metrics))
        return standing(select_points(self.points, runs=ids, metrics=metrics), twice)

    def by_series_alone(self) -> pl.Expr:
        """Whether the series frame alone gives the number of points: x is the step, and no bound excludes any."""
        inside = pl.lit(self.x == "step")
        if self.x_min is not None:
            inside &= pl.col("first_step").cast(pl.Float64) >= self.x_min
        if self.x_max is not None:
            inside &= pl.col("last_step").cast(pl.Float64) <= self.x_max
        return inside


class LocatedCurves(Struct, frozen=True):
    """The series with points to show, in order, with their numbers of points and of finite points. No point is read yet."""

    lines: CurveSelection
    series: pl.DataFrame  # run_id, metric, n, finite
    left_out: tuple[LeftOut, ...]
    outside: tuple[str, ...] = ()  # why bounds of x leave no point


def locate_curves(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    metrics: Sequence[str],
    *,
    x: str = "step",
    x_min: float | None = None,
    x_max: float | None = None,
) -> LocatedCurves:
    """Returns the curves of these metrics over these runs.

    ``x`` is ``step``, ``wall_time`` (seconds since the run's first point) or any metric of the same run, joined on step.
    """
    check_range(x_min, x_max)
    mine = series.filter(pl.col("run_id").is_in(runs["run_id"].implode()) & pl.col("metric").is_in([*metrics, x]))
    lines = CurveSelection(points, rewound(mine), tuple(metrics), x, x_min, x_max)
    asked = mine.filter(pl.col("metric").is_in(list(metrics)))
    if x == "wall_time":
        lines = replace(lines, borrows_times=_lacks_times(asked, points))
    counted = _counted(asked, lines, mine.filter(pl.col("metric") == x))
    left = (*runs_lacking(metrics, runs, series), *_without_x(asked, counted, x, lines))
    return LocatedCurves(lines, counted, left, () if counted.height or not asked.height else _outside(lines, mine))


def _outside(lines: CurveSelection, series: pl.DataFrame) -> tuple[str, ...]:
    """Says that the bounds of x leave no point, and which values x has."""
    if lines.x_min is None and lines.x_max is None:
        return ()
    bounds = [f"x_min {lines.x_min:g}"] if lines.x_min is not None else []
    bounds += [f"x_max {lines.x_max:g}"] if lines.x_max is not None else []
    return (f"no point lies within {' and '.join(bounds)}{_extent(lines.x, series)}",)


def _extent(x: str, series: pl.DataFrame) -> str:
    """Returns the range of x over these series in words, where the series frame knows it."""
    if x == "wall_time":
        return ": wall_time counts seconds since the first point of a run"
    low, high = ("first_step", "last_step") if x == "step" else ("min", "max")
    known = series if x == "step" else series.filter(pl.col("metric") == x)
    least, most = known[low].min(), known[high].max()
    return f": {x} is between {least} and {most}" if least is not None else ""


def _lacks_times(asked: pl.DataFrame, points: PointSource) -> bool:
    """Whether some of the requested points have no time."""
    ids, metrics = asked["run_id"].unique().to_list(), asked["metric"].unique().to_list()
    mine = select_points(points, runs=ids, metrics=metrics)
    return bool(mine.reduce(MissingTimes()).item())


def _without_x(asked: pl.DataFrame, counted: pl.DataFrame, x: str, lines: CurveSelection) -> tuple[LeftOut, ...]:
    """Lists runs whose values have no x; none if x has bounds, which exclude points on request."""
    if x == "step" or lines.x_min is not None or lines.x_max is not None:
        return ()
    lost = asked.join(counted, on=_KEY, how="anti").sort("metric", "run_id")
    what = "no time was logged" if x == "wall_time" else f"no {x} at its steps"
    grouped = lost.group_by("metric", maintain_order=True).agg(pl.col("run_id"))
    return tuple(LeftOut(f"{metric}: {what}", tuple(ids)) for metric, ids in grouped.iter_rows())


def thin_curves(placed: LocatedCurves, max_points: int, *, notes: tuple[str, ...] = ()) -> LazyAnswer:
    """Returns run_id, metric, x, value: at most ``max_points`` a series, in order of x.

    Raises InputError for ``max_points`` below 2 or above 10,000.
    """
    if not 2 <= max_points <= MAX_POINTS:
        raise InputError(f"max_points {max_points} is not between 2 and {MAX_POINTS}.")
    series = _measured(placed, max_points)
    cut = int((series["n"] > series["n_shown"]).sum())
    sampling = (
        f"{cut} of {series.height} series {verb(cut, 'is', 'are')} downsampled to {max_points} points; first, last, "
        f"extremes, NaN changes, bends kept"
        if cut
        else ""
    )
    basis = Basis(
        runs_used=series["run_id"].n_unique(),
        left_out=placed.left_out,
        points=int(series["n"].sum()),
        sampling=sampling,
        warnings=placed.outside,
    )
    unroll = partial(_unrolled, placed.lines, series, max_points)
    return LazyAnswer(tuple(_CURVE), int(series["n_shown"].sum()), unroll, basis, (series, placed.lines.twice), notes)


def _counted(asked: pl.DataFrame, lines: CurveSelection, of_axis: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, metric, n, finite of series with points to show. Points are read only if bounds or axis require it.

    ``of_axis``: the series of the metric that is the axis, if one is.
    """
    known = _with_axis(asked, lines, of_axis) if of_axis.height else asked.with_columns(sure=lines.by_series_alone())
    sure_counts = known.filter("sure").select(*_KEY, "n", finite=pl.col("n") - pl.col("n_nan") - pl.col("n_inf"))
    parts = [sure_counts]
    if sure_counts.height < asked.height:
        parts.append(lines.of(known.filter(~pl.col("sure"))).reduce(PointCount()).select(sure_counts.columns))
    return pl.concat(parts).filter(pl.col("n") > 0).sort(_KEY)


def _with_axis(asked: pl.DataFrame, lines: CurveSelection, of_axis: pl.DataFrame) -> pl.DataFrame:
    """Adds sure: whether the axis has a value at every step of the curve, because it has one at each step from end to end."""
    whole = (pl.col("last_step") - pl.col("first_step") + 1 == pl.col("n")) & (
        lines.x_min is None and lines.x_max is None
    )
    ends = of_axis.filter(whole).select("run_id", low="first_step", high="last_step")
    joined = asked.join(ends, on="run_id", how="left", maintain_order="left")
    inside = (pl.col("first_step") >= pl.col("low")) & (pl.col("last_step") <= pl.col("high"))
    return joined.with_columns(sure=inside.fill_null(value=False)).drop("low", "high")


def _measured(placed: LocatedCurves, most: int) -> pl.DataFrame:
    """Returns run_id, metric, n, n_shown. Only curves with many points, but few finite ones, are read for this."""
    n, finite = pl.col("n"), pl.col("finite")
    series = placed.series.with_columns(n_shown=pl.when(n <= most).then(n).when(finite >= most).then(most))
    unsure = series.filter(pl.col("n_shown").is_null())
    if unsure.height:
        read = placed.lines.drawn(unsure).group_by(_KEY).agg(kept_by_thin(most).alias("read"))
        series = series.join(read, on=_KEY, how="left", maintain_order="left")
        series = series.with_columns(pl.coalesce("n_shown", "read").alias("n_shown"))
    return series.select(*_KEY, "n", pl.col("n_shown").cast(pl.Int64))


def _unrolled(lines: CurveSelection, series: pl.DataFrame, max_points: int, first: int, n: int) -> Answer:
    """Returns ``n`` rows from ``first`` on, and table ``series`` for them."""
    ends = series["n_shown"].cum_sum()
    low, high = int(ends.search_sorted(first, "right")), int(ends.search_sorted(first + n, "left")) + 1
    before = int(ends[low - 1]) if low else 0
    table, summary = _thinned(lines.drawn(series.slice(low, high - low)), max_points)
    return Answer(table.slice(first - before, n), tables={"series": summary})


def _thinned(drawn: pl.DataFrame, max_points: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the downsampled curves, and a summary row for each. Only numbers are handled curve by curve."""
    from sweeplens.analyses.sparklines import is_log, sparkline  # numpy loads with it
    from sweeplens.frames.downsampling import shape_keeping_rows

    x, value = (drawn[c].fill_null(float("nan")).to_numpy() for c in ("x", "value"))
    kept: list[int] = []
    rows: list[tuple[object, ...]] = []
    first = 0
    for run, metric, n in drawn.group_by(_KEY, maintain_order=True).len().iter_rows():
        checkpoint()
        own = slice(first, first + n)
        chosen = shape_keeping_rows(x[own], value[own], max_points) if n > max_points else range(n)
        kept += [first + row for row in chosen]
        rows.append((run, metric, n, len(chosen), sparkline(value[own]), is_log(value[own])))
        first += n
    return drawn[kept], pl.DataFrame(rows, schema=_SERIES, orient="row")
