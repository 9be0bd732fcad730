"""Columns of runs that are computed when a question names them, for conditions, lists, sorting and SQL.

<metric>.<statistic>    a column of the series frame
<metric>.last_tenth     the mean of the last tenth, as rankings read a run
events                  see `events`
last_step               the last step of the run: the largest of its series
computed columns        given by the caller by name, such as ``health``

with_run_columns(runs, series, names, more)    the runs table with these columns, as far as they exist
near_columns(name, runs, series, more)         the columns among which the nearest to an unknown name are searched
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import polars as pl
from msgspec import Struct, field

from sweeplens.cancellation import checkpoint
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.events import event_column, near_events, parse_event
from sweeplens.frames.reduction import DEFAULT_REDUCE, parse_reduce, reduce_runs
from sweeplens.frames.schemas import SERIES_STATS

__all__ = [
    "LAST_STEP",
    "NOTHING_MORE",
    "RUN_STATISTICS",
    "RunColumns",
    "all_columns",
    "last_steps",
    "near_columns",
    "with_run_columns",
]

LAST_STEP = "last_step"


class RunColumns(Struct, frozen=True):
    """What columns beyond the runs and series frames are made of.

    ``points``: as they were logged; None if events cannot be asked for. ``computed``: functions by column name, each
    returning run_id and that column.
    """

    points: PointSource | None = None
    computed: Mapping[str, Callable[[], pl.DataFrame]] = field(default_factory=dict[str, "Callable[[], pl.DataFrame]"])


NOTHING_MORE = RunColumns()

RUN_STATISTICS = (*SERIES_STATS, DEFAULT_REDUCE)
"""What follows the name of a metric in a column of runs."""


def with_run_columns(
    runs: pl.DataFrame, series: pl.DataFrame, names: Iterable[str], more: RunColumns = NOTHING_MORE
) -> pl.DataFrame:
    """Adds the columns among the names that exist; unknown names are left to the caller.

    Raises InputError for an event whose level is not a number.
    """
    table = runs
    for name in dict.fromkeys(names):
        checkpoint()
        column = None if name in table.columns else _column(name, series, more)
        if column is not None:
            table = table.join(column, on="run_id", how="left", maintain_order="left")
    return table


def last_steps(series: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id and the last step of each run."""
    return series.group_by("run_id").agg(pl.col(LAST_STEP).max())


def _column(name: str, series: pl.DataFrame, more: RunColumns) -> pl.DataFrame | None:
    metric, _, statistic = name.rpartition(".")
    if statistic in SERIES_STATS:
        column = series.filter(pl.col("metric") == metric).select("run_id", pl.col(statistic).alias(name))
        if column.height:
            return column
    if statistic == DEFAULT_REDUCE and more.points is not None:
        reduced = reduce_runs(series.filter(pl.col("metric") == metric), more.points, parse_reduce(statistic)).values
        if reduced.height:
            return reduced.select("run_id", pl.col("value").alias(name))
    if name in more.computed:
        return more.computed[name]()
    event = parse_event(name, frozenset(series["metric"].unique())) if more.points is not None else None
    return None if event is None or more.points is None else event_column(event, series, more.points)


def all_columns(runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns = NOTHING_MORE) -> list[str]:
    """Returns every column that can be listed: those of the runs table, ``<metric>.<statistic>``, and computed ones."""
    metrics: list[str] = series["metric"].unique().sort().to_list()
    return [*runs.columns, *more.computed, *(f"{m}.{s}" for m in metrics for s in SERIES_STATS)]


def near_columns(name: str, runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns = NOTHING_MORE) -> list[str]:
    """Returns the columns among which the nearest to an unknown name are searched, with the likely statistics of metrics."""
    metrics: list[str] = series["metric"].unique().sort().to_list()
    events = near_events(name, metrics) if more.points is not None else []
    if events:
        return events
    metric, _, statistic = name.rpartition(".")
    if metric in metrics:
        return [f"{metric}.{s}" for s in RUN_STATISTICS]
    meant = statistic if statistic in SERIES_STATS else "last"
    return [*runs.columns, *more.computed, *(f"{m}.{meant}" for m in metrics)]
