"""Curves for display: few points that keep the shape, and the count of points that they stand for.

    place_curves    which series there are and how many points each has, mostly from the series frame alone
    thin_curves     these curves as a scroll: a series is read and thinned when its rows are looked at

How many rows a series will have is known without thinning it (`points.kept_by_thin`), so that rows, counts and cursors are
those of an answer made at once, while the cost is that of the series shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.answers import Answer, Basis, LazyAnswer, LeftOut
from sweeplens.cancellation import checkpoint
from sweeplens.errors import InputError
from sweeplens.frames.points import kept_by_thin, select_points, standing, thin
from sweeplens.frames.reduction import rewound, runs_lacking

__all__ = ["MAX_POINTS", "LocatedCurves", "locate_curves", "thin_curves"]

MAX_POINTS = 10_000
_KEY = ["run_id", "metric"]
_CURVE = {"run_id": pl.String(), "metric": pl.String(), "x": pl.Float64(), "value": pl.Float64()}
_SERIES = {
    "run_id": pl.String(), "metric": pl.String(), "n": pl.Int64(), "n_shown": pl.Int64(), "spark": pl.String(),
    "log": pl.Boolean(),
}  # fmt: skip


class CurveSelection(Struct, frozen=True):
    """Where the points of curves are found, what their x is, and between which bounds they are wanted.

    ``twice``: the (run_id, metric) of series, the axis included, that logged a step more than once.
    """

    points: pl.LazyFrame
    twice: pl.DataFrame
    metrics: tuple[str, ...]
    x: str
    x_min: float | None
    x_max: float | None
    borrows_times: bool = False  # some points have no time: another row of the same step may have one

    def of(self, keys: pl.DataFrame) -> pl.LazyFrame:
        """run_id, metric, step, x, value: the points of these series, in no order."""
        placed = self._placed(keys).select(*_KEY, "step", "x", "value")
        return self._within(placed.join(keys.lazy().select(_KEY), on=_KEY, how="semi"))

    def drawn(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Their run_id, metric, x, value in the order in which they are shown; points of the same x in that of their steps."""
        return self.of(keys).sort(*_KEY, "x", "step").select(*_CURVE).collect()

    def _placed(self, keys: pl.DataFrame) -> pl.LazyFrame:
        ids = keys["run_id"].unique().to_list()
        if self.x == "step":
            stand = self._standing(ids, keys["metric"].unique().to_list())
            return stand.with_columns(x=pl.col("step").cast(pl.Float64))
        if self.x == "wall_time":  # since the run's first point in any metric asked for, whichever are shown here
            began = pl.col("wall_time").min().over("run_id")
            seconds = (pl.col("wall_time") - began).dt.total_microseconds() / 1e6
            return self._timed(ids).filter(pl.col("wall_time").is_not_null()).with_columns(x=seconds)
        at = self._standing(ids, [self.x]).select("run_id", "step", x="value")
        return self._standing(ids, keys["metric"].unique().to_list()).join(at, on=["run_id", "step"])

    def _timed(self, ids: Sequence[str]) -> pl.LazyFrame:
        """The points of all metrics asked for; one whose row had no time has that of another row at its step."""
        mine = self._standing(ids, self.metrics)
        if not self.borrows_times:
            return mine
        others = select_points(self.points, runs=ids).filter(pl.col("wall_time").is_not_null())
        times = others.group_by("run_id", "step").agg(pl.col("wall_time").last().alias("other"))
        joined = mine.join(times, on=["run_id", "step"], how="left")
        return joined.with_columns(pl.coalesce("wall_time", "other").alias("wall_time")).drop("other")

    def _standing(self, ids: Sequence[str], metrics: Sequence[str]) -> pl.LazyFrame:
        twice = self.twice.filter(pl.col("run_id").is_in(ids) & pl.col("metric").is_in(metrics))
        return standing(select_points(self.points, runs=ids, metrics=metrics), twice)

    def _within(self, placed: pl.LazyFrame) -> pl.LazyFrame:
        if self.x_min is not None:
            placed = placed.filter(pl.col("x") >= self.x_min)
        if self.x_max is not None:
            placed = placed.filter(pl.col("x") <= self.x_max)
        return placed

    def by_series_alone(self) -> pl.Expr:
        """Whether the series frame alone tells how many points of a series are wanted: all of them, by their steps."""
        inside = pl.lit(self.x == "step")
        if self.x_min is not None:
            inside &= pl.col("first_step").cast(pl.Float64) >= self.x_min
        if self.x_max is not None:
            inside &= pl.col("last_step").cast(pl.Float64) <= self.x_max
        return inside


class LocatedCurves(Struct, frozen=True):
    """The series that have points to show, in order, how many points and how many finite ones; none of them is drawn yet."""

    lines: CurveSelection
    series: pl.DataFrame  # run_id, metric, n, finite
    left_out: tuple[LeftOut, ...]


def locate_curves(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    metrics: Sequence[str],
    *,
    x: str = "step",
    x_min: float | None = None,
    x_max: float | None = None,
) -> LocatedCurves:
    """The curves of these metrics over these runs.

    ``x`` is ``step``, ``wall_time`` (seconds since the run's first point) or any metric of the same run, joined on step.
    """
    mine = series.filter(pl.col("run_id").is_in(runs["run_id"].implode()) & pl.col("metric").is_in([*metrics, x]))
    lines = CurveSelection(points, rewound(mine), tuple(metrics), x, x_min, x_max)
    asked = mine.filter(pl.col("metric").is_in(list(metrics)))
    if x == "wall_time":
        lines = replace(lines, borrows_times=_lacks_times(asked, points))
    counted = _counted(asked, lines)
    return LocatedCurves(lines, counted, (*runs_lacking(metrics, runs, series), *_without_x(asked, counted, x, lines)))


def _lacks_times(asked: pl.DataFrame, points: pl.LazyFrame) -> bool:
    """Whether some of the points asked for have no time."""
    ids, metrics = asked["run_id"].unique().to_list(), asked["metric"].unique().to_list()
    mine = select_points(points, runs=ids, metrics=metrics)
    return bool(mine.select(pl.col("wall_time").is_null().any()).collect().item())


def _without_x(asked: pl.DataFrame, counted: pl.DataFrame, x: str, lines: CurveSelection) -> tuple[LeftOut, ...]:
    """The runs whose curves have values, but none with an x; bounds aside, which leave out what was asked to be."""
    if x == "step" or lines.x_min is not None or lines.x_max is not None:
        return ()
    lost = asked.join(counted, on=_KEY, how="anti").sort("metric", "run_id")
    what = "no time was logged" if x == "wall_time" else f"no {x} at its steps"
    grouped = lost.group_by("metric", maintain_order=True).agg(pl.col("run_id"))
    return tuple(LeftOut(f"{metric}: {what}", tuple(ids)) for metric, ids in grouped.iter_rows())


def thin_curves(placed: LocatedCurves, max_points: int) -> LazyAnswer:
    """run_id, metric, x, value: at most ``max_points`` a series, in order of x.

    Raises InputError for a bound that cannot be met.
    """
    if not 2 <= max_points <= MAX_POINTS:
        raise InputError(f"max_points {max_points} is not between 2 and {MAX_POINTS}.")
    series = _measured(placed, max_points)
    cut = int((series["n"] > series["n_shown"]).sum())
    sampling = (
        f"{cut} of {series.height} series are shown by {max_points} points each; first, last, extremes, NaN changes, bends kept"
        if cut
        else ""
    )
    basis = Basis(
        runs_used=series["run_id"].n_unique(),
        left_out=placed.left_out,
        points=int(series["n"].sum()),
        sampling=sampling,
    )
    unroll = partial(_unrolled, placed.lines, series, max_points)
    return LazyAnswer(tuple(_CURVE), int(series["n_shown"].sum()), unroll, basis, frames=(series, placed.lines.twice))


def _counted(asked: pl.DataFrame, lines: CurveSelection) -> pl.DataFrame:
    """run_id, metric, n, finite of the series that have points to show. Points are read where a bound or an axis decides."""
    known = asked.with_columns(sure=lines.by_series_alone())
    told = known.filter("sure").select(*_KEY, "n", finite=pl.col("n") - pl.col("n_nan") - pl.col("n_inf"))
    parts = [told]
    if told.height < asked.height:
        counts = (pl.len().cast(pl.Int64).alias("n"), pl.col("value").is_finite().sum().cast(pl.Int64).alias("finite"))
        parts.append(lines.of(known.filter(~pl.col("sure"))).group_by(_KEY).agg(counts).collect())
    return pl.concat(parts).filter(pl.col("n") > 0).sort(_KEY)


def _measured(placed: LocatedCurves, most: int) -> pl.DataFrame:
    """run_id, metric, n, n_shown. Only curves that are long, but not by their finite points, are read to know."""
    n, finite = pl.col("n"), pl.col("finite")
    series = placed.series.with_columns(n_shown=pl.when(n <= most).then(n).when(finite >= most).then(most))
    unsure = series.filter(pl.col("n_shown").is_null())
    if unsure.height:
        read = placed.lines.drawn(unsure).group_by(_KEY).agg(kept_by_thin(most).alias("read"))
        series = series.join(read, on=_KEY, how="left", maintain_order="left")
        series = series.with_columns(pl.coalesce("n_shown", "read").alias("n_shown"))
    return series.select(*_KEY, "n", pl.col("n_shown").cast(pl.Int64))


def _unrolled(lines: CurveSelection, series: pl.DataFrame, max_points: int, first: int, n: int) -> Answer:
    """The rows from ``first`` on; beside them table ``series``, of the series that they belong to."""
    ends = series["n_shown"].cum_sum()
    low, high = int(ends.search_sorted(first, "right")), int(ends.search_sorted(first + n, "left")) + 1
    before = int(ends[low - 1]) if low else 0
    table, summary = _thinned(lines.drawn(series.slice(low, high - low)), max_points)
    return Answer(table.slice(first - before, n), tables={"series": summary})


def _thinned(drawn: pl.DataFrame, max_points: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The curves in few points, and a row for each that tells of all its points."""
    from sweeplens.analyses.sparklines import is_log, sparkline  # numpy loads with it

    shown: list[pl.DataFrame] = [pl.DataFrame(schema=_CURVE)]
    rows: list[tuple[object, ...]] = []
    for key, part in drawn.group_by(_KEY, maintain_order=True):
        checkpoint()
        shown.append(thin(part, max_points))
        values = part["value"].to_numpy()
        rows.append((*key, part.height, shown[-1].height, sparkline(values), is_log(values)))
    return pl.concat(shown), pl.DataFrame(rows, schema=_SERIES, orient="row")
