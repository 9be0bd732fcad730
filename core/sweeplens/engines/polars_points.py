"""`PolarsPoints`: points that Polars scans on this machine, and `PolarsEngine`, the default.

scanned(points)            a lazy frame, or an engine's points, as `Points`
select_rows, last_of_step  the same selections over a plain lazy frame, for ingest, which has no engine
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec import Struct

from sweeplens.engines.polars_reductions import grouped, in_seconds, reduced
from sweeplens.engines.protocol import KEY, Points, PointSource, StoredPoints
from sweeplens.engines.reductions import PointReduction

__all__ = ["PolarsEngine", "PolarsPoints", "last_of_step", "scanned", "select_rows"]

_CELLS = 1 << 20  # more stretches than any curve has


class PolarsEngine(Struct, frozen=True):
    """The engine of this machine."""

    warnings: tuple[str, ...] = ()

    def described(self) -> str:
        """Returns an empty text."""
        return ""

    def points(self, stored: StoredPoints, local: pl.LazyFrame) -> PointSource:
        """Returns the lazy frame itself."""
        return local


class PolarsPoints(Struct, frozen=True, eq=False):
    """`Points` over a lazy frame."""

    frame: pl.LazyFrame

    def select(
        self, *, runs: Sequence[str] | None = None, metrics: Sequence[str] | None = None, step_min: int | None = None,
        step_max: int | None = None,
    ) -> PolarsPoints:  # fmt: skip
        """Filters; files and row groups that cannot match are not read."""
        return PolarsPoints(select_rows(self.frame, runs=runs, metrics=metrics, step_min=step_min, step_max=step_max))

    def of_series(self, keys: pl.DataFrame) -> PolarsPoints:
        """Keeps the points of these series."""
        return PolarsPoints(self.frame.join(keys.lazy().select(KEY), on=KEY, how="semi"))

    def finite(self) -> PolarsPoints:
        """Keeps finite values."""
        return PolarsPoints(self.frame.filter(pl.col("value").is_finite()))

    def standing(self, rewound: pl.DataFrame) -> PolarsPoints:
        """Keeps the last write of each step; only series that rewound cost time."""
        return PolarsPoints(last_of_step(self.frame, rewound))

    def last_writes(self) -> PolarsPoints:
        """Keeps the last write of each step of each run."""
        return PolarsPoints(self.frame.sort("seq").unique(["run_id", "step"], keep="last", maintain_order=True))

    def on_step(self) -> PolarsPoints:
        """Adds the step as x."""
        return PolarsPoints(self.frame.with_columns(x=pl.col("step").cast(pl.Float64)))

    def on_time(self, since: PolarsPoints | None = None) -> PolarsPoints:
        """Adds the time since the run began as x."""
        timed = self.frame.filter(pl.col("wall_time").is_not_null())
        if since is None:
            seconds = in_seconds(pl.col("wall_time") - pl.col("wall_time").min().over("run_id"))
            return PolarsPoints(timed.with_columns(x=seconds))
        began = since.frame.group_by("run_id").agg(pl.col("wall_time").min().alias("began"))
        seconds = in_seconds(pl.col("wall_time") - pl.col("began"))
        return PolarsPoints(timed.join(began, on="run_id").with_columns(x=seconds))

    def on_metric(self, at: PolarsPoints) -> PolarsPoints:
        """Adds the value of another metric at the same step as x."""
        other = at.frame.select("run_id", "step", x="value")
        return PolarsPoints(self.frame.join(other, on=["run_id", "step"]))

    def with_times_of(self, others: PolarsPoints) -> PolarsPoints:
        """Fills in times from other points of the run at the same step."""
        timed = others.frame.filter(pl.col("wall_time").is_not_null())
        times = timed.group_by("run_id", "step").agg(pl.col("wall_time").last().alias("other"))
        joined = self.frame.join(times, on=["run_id", "step"], how="left")
        return PolarsPoints(joined.with_columns(pl.coalesce("wall_time", "other").alias("wall_time")).drop("other"))

    def within(self, x_min: float | None, x_max: float | None) -> PolarsPoints:
        """Filters by x."""
        frame = self.frame
        if x_min is not None:
            frame = frame.filter(pl.col("x") >= x_min)
        if x_max is not None:
            frame = frame.filter(pl.col("x") <= x_max)
        return PolarsPoints(frame)

    def held(self, columns: Sequence[str]) -> PolarsPoints:
        """Reads these columns once."""
        return PolarsPoints(self.fetch(columns).lazy())

    def reduce(self, how: PointReduction) -> pl.DataFrame:
        """Computes a reduction."""
        return reduced(self.frame, how).collect()

    def reduce_by_group(self, how: PointReduction, groups: pl.DataFrame) -> pl.DataFrame:
        """Computes the statistics of a reduction over groups of runs."""
        return grouped(self.frame, how, groups).collect()

    def bucket(self, curves: pl.DataFrame) -> pl.DataFrame:
        """Computes one row for each curve and interval with a finite value."""
        x, value = pl.col("x"), pl.col("value")
        stretch = ((x - pl.col("start")) / pl.col("width") + 0.5).floor().cast(pl.Int64)
        cell = pl.col("curve").cast(pl.Int64) * _CELLS + stretch  # one key is grouped faster than two
        found = (
            self.frame.filter(x.is_finite())
            .join(curves.lazy().select(*KEY, "curve", "start", "width"), on=KEY)
            .select("x", value=pl.when(value.is_finite()).then(value), cell=cell)
            .group_by("cell")
            .agg(((x.min() + x.max()) / 2).alias("x"), value.mean(), pl.len().cast(pl.Int64).alias("points"))
            .filter(value.is_not_null())
            .collect()
        )
        names = (pl.col("cell") // _CELLS).alias("curve"), (pl.col("cell") % _CELLS).alias("stretch")
        return found.select(*names, "x", "value", "points")

    def fetch(
        self, columns: Sequence[str], *, needed: pl.DataFrame | None = None, sparing: bool = False
    ) -> pl.DataFrame:
        """Reads the points; a join by ``needed`` would cost more than it saves, so it is not used."""
        return self.frame.select(columns).collect(engine="streaming" if sparing else "auto")


def scanned(points: PointSource) -> Points:
    """Returns the points of any engine; a lazy frame is scanned by Polars."""
    return PolarsPoints(points) if isinstance(points, pl.LazyFrame) else points


def select_rows(
    points: pl.LazyFrame, *, runs: Sequence[str] | None = None, metrics: Sequence[str] | None = None,
    step_min: int | None = None, step_max: int | None = None,
) -> pl.LazyFrame:  # fmt: skip
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


def last_of_step(points: pl.LazyFrame, rewound: pl.DataFrame) -> pl.LazyFrame:
    """Returns points with the last write of each step, ordered by step within each series.

    ``rewound``: the (run_id, metric) of series that logged a step twice or went back; all others stay unchanged.
    """
    if not rewound.height:
        return points
    keys = rewound.lazy().select(KEY)
    clean = points.join(keys, on=KEY, how="anti")
    last = (
        points.join(keys, on=KEY, how="semi")
        .sort(*KEY, "step", "seq")
        .unique([*KEY, "step"], keep="last", maintain_order=True)
    )
    return pl.concat([clean, last])
