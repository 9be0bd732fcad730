"""Statistics of groups of runs where the runs are too many for one row each in this process: the engine reduces and groups.

Only reductions that read points come here; the others need nothing but the series frame. Which runs have no value is not listed,
only how many.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec import Struct

from sweeplens.dataframes import STATISTICS, with_intervals
from sweeplens.engines.protocol import Points, PointSource
from sweeplens.engines.reductions import AreaUnderCurve, AtStep, LastK, LastTenth, PointReduction
from sweeplens.frames.grouping import free_names, keyed
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import FEWEST_IN_A_TENTH, Reduction, common_step, rewound

__all__ = ["MOST_SERIES", "GroupedSeries", "grouped_on_engine"]

MOST_SERIES = 1_000_000
"""Series whose values come into this process one by one; of more, an engine elsewhere returns groups alone."""


class GroupedSeries(Struct, frozen=True):
    """The statistics of each group and metric, and the step of the values, for ``at_step``."""

    table: pl.DataFrame
    step: int | None = None


def grouped_on_engine(
    series: pl.DataFrame, points: PointSource, runs: pl.DataFrame, hparams: Sequence[str], reduce: Reduction
) -> GroupedSeries | None:
    """Returns the statistics as `statistics_of` does; None where this process should reduce series itself.

    ``series``: those that are asked for. Sums are added in another order than in this process, so the last digits may differ.
    """
    if isinstance(points, pl.LazyFrame) or series.height <= MOST_SERIES:
        return None
    step = (common_step(series) if reduce.amount < 0 else reduce.amount) if reduce.how == "at_step" else None
    how = _on_points(reduce, step)
    if how is None:
        return None
    chosen = select_points(points, runs=runs["run_id"].to_list(), metrics=series["metric"].unique().to_list())
    return GroupedSeries(_grouped(standing(chosen, rewound(series)), how, runs, hparams), step)


def _on_points(reduce: Reduction, step: int | None) -> PointReduction | None:
    """Returns the reduction for an engine; None if it needs none, or a table with a row for each run."""
    if step is not None:
        return AtStep(step, reached=True)
    known = {"last_tenth": LastTenth(FEWEST_IN_A_TENTH), "last_k": LastK(reduce.amount), "auc": AreaUnderCurve()}
    return known.get(reduce.how)


def _grouped(points: Points, how: PointReduction, runs: pl.DataFrame, hparams: Sequence[str]) -> pl.DataFrame:
    runs, names = free_names(runs, hparams, STATISTICS)
    table = keyed(runs, names)
    if not names:
        return with_intervals(points.reduce_by_group(how, table.select("run_id", group=pl.lit(0))), names)
    groups = table.select(names).unique(maintain_order=True).with_columns(group=pl.int_range(pl.len(), dtype=pl.Int64))
    named = table.join(groups, on=names, nulls_equal=True).select("run_id", "group")
    return with_intervals(points.reduce_by_group(how, named).join(groups, on="group"), names)
