"""Replaces the steps of a table's points, which are row numbers, by the steps that `axis` finds for each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import polars as pl

from sweeplens.readers.decoding.axis import Placement, place_rows
from sweeplens.readers.decoding.axis_names import is_pace_metric, label_of, rank_of
from sweeplens.readers.decoding.row_keys import exact_label

__all__ = ["hides_values", "placed_points", "shares_steps"]


def placed_points(points: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, list[Placement]]:
    """Returns the points at their steps, without each run's axis among the metrics, and how each run was placed.

    ``columns``: the names of the table's columns. A metric may have a split before its column's name.
    """
    counters = [c for c in columns if exact_label(c) or label_of(c)]
    found = [_one_run(part, counters) for part in points.partition_by("run_id", maintain_order=True)]
    return pl.concat([points for points, _ in found]) if found else points, [placement for _, placement in found]


def hides_values(points: pl.DataFrame) -> bool:
    """Whether a metric of a run has two values at one step, or its steps go back."""
    compared = [m for m in points["metric"].unique() if not label_of(m) and not is_pace_metric(m)]
    change = pl.col("step").diff()
    series = (
        points.lazy()
        .filter(pl.col("metric").is_in(compared))
        .group_by("run_id", "metric")
        .agg((change <= 0).any().alias("back"))
    )
    return bool(series.select(pl.col("back").any()).collect().item())


def shares_steps(points: pl.DataFrame) -> bool:
    """Whether a metric has several points, all at one step."""
    series = points.group_by("run_id", "metric").agg(pl.len().alias("n"), pl.col("step").n_unique().alias("steps"))
    return bool(series.select(((pl.col("n") > 1) & (pl.col("steps") == 1)).any()).item())


def _one_run(points: pl.DataFrame, counters: Iterable[str]) -> tuple[pl.DataFrame, Placement]:
    """Places the points of one run; their rows are numbered over the whole table."""
    rows = points.select(row=pl.col("step").rank("dense").cast(pl.Int64) - 1)["row"]
    points = points.with_columns(rows.alias("step"))
    height = int(cast("int", rows.max())) + 1 if len(rows) else 0
    columns = {name: _column(points, name, height) for name in counters}
    held = {name: column for name, column in columns.items() if column.null_count() < height}
    series, names = _by_label(held)
    metrics = {m: next((n for n in names if _is_of(m, n)), "") for m in points["metric"].unique()}
    kept = [m for m, column in metrics.items() if not column and not is_pace_metric(m)]
    long = points.filter(pl.col("metric").is_in(kept)).select(pl.col("step").alias("row"), "metric", "value")
    placement = place_rows(height, series, long, _walls(points, height))
    axis = [m for m, column in metrics.items() if column and placement.axis and names[column] == placement.axis]
    placed = points.with_columns(placement.steps.gather(points["step"]).alias("step"))
    return placed.filter(pl.col("metric").is_in(axis).not_()), placement


def _is_of(metric: str, column: str) -> bool:
    return metric == column or metric.endswith(f"/{column}")


def _column(points: pl.DataFrame, name: str, height: int) -> pl.Series:
    """Returns a column's value for each row, null where there is none."""
    mine = points.filter((pl.col("metric") == name) | pl.col("metric").str.ends_with(f"/{name}")).unique(
        "step", keep="first"
    )
    rows = pl.DataFrame({"step": pl.int_range(height, dtype=pl.Int64, eager=True)})
    return rows.join(mine.select("step", "value"), on="step", how="left", maintain_order="left")["value"]


def _by_label(columns: dict[str, pl.Series]) -> tuple[dict[str, pl.Series], dict[str, str]]:
    """Returns label -> values, and column -> label. Names with a slash count only where no other counter is whole."""
    exact = {name: label for name in columns if (label := exact_label(name))}
    whole = any((columns[n].drop_nulls().floor() == columns[n].drop_nulls()).all() for n in exact)
    labels = exact if whole else {name: exact_label(name) or label_of(name) for name in columns}
    series: dict[str, pl.Series] = {}
    for name in sorted(labels, key=lambda n: rank_of(labels[n])):
        label = labels[name]
        series[label] = (
            series[label].zip_with(series[label].is_not_null(), columns[name]) if label in series else columns[name]
        )
    return series, labels


def _walls(points: pl.DataFrame, height: int) -> pl.Series | None:
    """Returns the time of each row in microseconds; None where no row has one."""
    if points["wall_time"].null_count() == points.height:
        return None
    mine = points.unique("step", keep="first").select("step", pl.col("wall_time").cast(pl.Int64))
    rows = pl.DataFrame({"step": pl.int_range(height, dtype=pl.Int64, eager=True)})
    return rows.join(mine, on="step", how="left", maintain_order="left")["wall_time"]
