"""`Points`: points of one snapshot, held by an engine. Nothing is read until one of the last three verbs is used.

    select    runs, metrics, steps, series; the last write of each step; an axis x
    reduce    one row for each series or run (`reductions`); or, by group, one row for each group of runs and metric
    bucket    one row for each curve and interval of x, for display
    fetch     the points themselves, as a frame in memory

Names are resolved before: an engine sees run ids, metrics and numbers, never a pattern. Columns are run_id, metric, step,
value, wall_time, seq, and x once there is an axis. No engine promises an order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

import polars as pl
from msgspec import Struct

from sweeplens.engines.reductions import PointReduction

__all__ = ["KEY", "Engine", "PointFiles", "PointSource", "Points", "StoredPoints"]

KEY = ("run_id", "metric")


class Points(Protocol):
    """Points that an engine can select from, reduce, bucket and fetch. Frozen: each selection is another object."""

    def select(
        self, *, runs: Sequence[str] | None = None, metrics: Sequence[str] | None = None, step_min: int | None = None,
        step_max: int | None = None,
    ) -> Self:  # fmt: skip
        """Returns the points of these runs and metrics (None: all) with a step in the range, ends included."""
        ...

    def of_series(self, keys: pl.DataFrame) -> Self:
        """Returns the points of these series (run_id, metric)."""
        ...

    def finite(self) -> Self:
        """Returns the points with a finite value."""
        ...

    def standing(self, rewound: pl.DataFrame) -> Self:
        """Returns the last write of each step. ``rewound``: the series that logged a step twice or went back."""
        ...

    def last_writes(self) -> Self:
        """Returns the last write of each step of each run, by ``seq``, for points of one metric."""
        ...

    def on_step(self) -> Self:
        """Adds x: the step."""
        ...

    def on_time(self, since: Self | None = None) -> Self:
        """Adds x: seconds since the run's first point among ``since`` (default: these points). Points without a time are
        left out.
        """
        ...

    def on_metric(self, at: Self) -> Self:
        """Adds x: the value of ``at`` (points of one metric) at the same run and step; points without one are left out."""
        ...

    def with_times_of(self, others: Self) -> Self:
        """Gives each point without a time that of another point of its run and step, if there is one."""
        ...

    def within(self, x_min: float | None, x_max: float | None) -> Self:
        """Returns the points with an x in the range, ends included."""
        ...

    def held(self, columns: Sequence[str]) -> Self:
        """Returns the same points with these columns, ready for several reductions."""
        ...

    def reduce(self, how: PointReduction) -> pl.DataFrame:
        """Returns one row for each series or run, with the columns that the reduction names."""
        ...

    def reduce_by_group(self, how: PointReduction, groups: pl.DataFrame) -> pl.DataFrame:
        """Returns group, metric, n, mean, std, min, q25, median, q75, max: of the finite values of the runs in each group.

        ``how``: a reduction of series to a column ``value``. ``groups``: run_id, group (a number). Quantiles are interpolated.
        """
        ...

    def bucket(self, curves: pl.DataFrame) -> pl.DataFrame:
        """Returns curve, stretch, x, value, points: the middle of the finite x, the mean finite value and the number of points in
        each interval. ``curves``: run_id, metric, curve (a number), start and width of its intervals.
        """
        ...

    def fetch(
        self, columns: Sequence[str], *, needed: pl.DataFrame | None = None, sparing: bool = False
    ) -> pl.DataFrame:
        """Returns the points. ``needed``: the only series that the caller looks at; others may be there too.

        ``sparing``: in little memory rather than fast.
        """
        ...


PointSource = pl.LazyFrame | Points
"""All points of a snapshot: of any engine, or a lazy frame, which Polars scans."""


class PointFiles(Struct, frozen=True):
    """Parquet files of points: paths, or URLs of an object store. Points of the dropped runs do not count."""

    paths: tuple[str, ...]
    dropped: frozenset[str] = frozenset()


class StoredPoints(Struct, frozen=True, eq=False):
    """The exact points of one snapshot: its files, and frames that are not written yet."""

    files: tuple[PointFiles, ...] = ()
    frames: tuple[pl.DataFrame, ...] = ()


class Engine(Protocol):
    """What scans points. ``warnings``: sentences for each answer that it gave."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why answers do not come from where the configuration says; empty if they do."""
        ...

    def described(self) -> str:
        """Returns where points are scanned, formatted for display; empty for this machine."""
        ...

    def points(self, stored: StoredPoints, local: pl.LazyFrame) -> PointSource:
        """Returns the points of a snapshot. ``local``: the same points as this machine scans them."""
        ...
