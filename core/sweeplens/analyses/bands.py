"""Bands of many curves: the median and the 10 % and 90 % quantiles over runs, at a few places of the axis.

They come before single curves where a metric has a hundred or more: by group if the runs form few groups, else over all runs.
A run counts up to its end, with its last finite value at or before each place. Of very many runs an even sample is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.analyses.curves import LocatedCurves
from sweeplens.analyses.ranked_groups import group_label
from sweeplens.counting import count_of
from sweeplens.frames.grouping import group_hparams, keyed

__all__ = ["bands"]

_MANY = 100  # curves of a metric
_GROUPS, _METRICS = 6, 3
_PLACES = 5
_SAMPLE, _POINTS = 500, 1_000_000


def bands(runs: pl.DataFrame, placed: LocatedCurves, replicates: Sequence[str]) -> tuple[str, ...]:
    """Returns a line for each group and metric with many curves. Their samples are read together, once."""
    sizes = placed.series.group_by("metric").agg(pl.len().alias("runs"), pl.col("n").sum()).sort("metric")
    many = sizes.filter(pl.col("runs") >= _MANY).head(_METRICS).rows()
    if not many:
        return ()
    samples = {m: _even_sample(placed.series.filter(pl.col("metric") == m), int(_POINTS * n / p)) for m, n, p in many}
    drawn = placed.lines.drawn(pl.concat(samples.values()))
    curves = drawn.filter(pl.col("x").is_finite() & pl.col("value").is_finite())
    members: dict[tuple[str, ...], pl.DataFrame] = {}  # most metrics are logged by the same runs
    lines: list[str] = []
    for metric, count, _ in many:
        ids = tuple(samples[metric]["run_id"])
        if ids not in members:
            members[ids] = _members(runs, samples[metric], replicates)
        of = f", {len(ids)} of {count:,} taken evenly" if len(ids) < count else ""
        lines += _lines(metric, placed.lines.x, curves.filter(pl.col("metric") == metric), members[ids], of)
    return tuple(lines)


def _even_sample(series: pl.DataFrame, most: int) -> pl.DataFrame:
    kept = min(series.height, _SAMPLE, max(most, 1))
    places = [i * series.height // kept for i in range(kept)]
    return series.sort("run_id")[places]


def _members(runs: pl.DataFrame, sample: pl.DataFrame, replicates: Sequence[str]) -> pl.DataFrame:
    """Returns run_id and label, one for each group if there are few, else one for all runs; in order of the groups."""
    mine = runs.filter(pl.col("run_id").is_in(sample["run_id"].implode()))
    keys = group_hparams(mine, (), replicates)
    table = keyed(mine, keys)
    groups = table.select(keys).unique().sort(keys, nulls_last=True) if keys else table.select([])
    if not 1 < groups.height <= _GROUPS:
        return mine.select("run_id", label=pl.lit("all runs"))
    labels = [group_label(row, keys) for row in groups.iter_rows(named=True)]
    named = groups.with_columns(label=pl.Series(labels), place=pl.int_range(pl.len()))
    joined = table.join(named, on=keys, nulls_equal=True)
    return joined.sort("place", "run_id").select("run_id", "label")


def _lines(metric: str, x: str, curves: pl.DataFrame, member: pl.DataFrame, of: str) -> list[str]:
    places = _places(curves["x"])
    if not places:
        return []
    columns = [str(i) for i in range(len(places))]
    values = curves.group_by("run_id").agg(_at(place).alias(c) for c, place in zip(columns, places, strict=True))
    joined = member.join(values, on="run_id", how="left", maintain_order="left")
    cells = joined.group_by("label", maintain_order=True).agg(pl.len().alias("n"), *map(_cell, columns))
    lines: list[str] = []
    for label, n, *parts in cells.iter_rows():
        shown = "; ".join(f"{x} {at:.6g} {_cell_text(part, n)}" for at, part in zip(places, parts, strict=True))
        lines.append(f"{metric}, {label} ({count_of(n, 'run')}{of}), median [10 %, 90 %]: {shown}.")
    return lines


def _places(x: pl.Series) -> list[float]:
    """Returns even places from the least to the greatest x, at whole numbers if all x are; none without any."""
    low, high = x.min(), x.max()
    if not isinstance(low, float) or not isinstance(high, float):
        return []
    places = [low + (high - low) * i / (_PLACES - 1) for i in range(_PLACES)] if high > low else [low]
    return list(dict.fromkeys(float(round(p)) for p in places)) if x.floor().eq(x).all() else places


def _at(place: float) -> pl.Expr:
    """The last value up to here of a curve in order of x; null if it has ended before."""
    x = pl.col("x")
    return pl.when(x.last() >= place).then(pl.col("value").filter(x <= place).last())


def _cell(column: str) -> pl.Expr:
    """The median, both quantiles and the number of values, as one struct."""
    value = pl.col(column)
    quantiles = (value.quantile(q, "linear").alias(str(q)) for q in (0.5, 0.1, 0.9))
    return pl.struct(*quantiles, value.count().alias("n")).alias(column)


def _cell_text(cell: Mapping[str, float | None], runs: int) -> str:
    """Formats the quantiles, with the number of values where some runs have none."""
    middle, low, high, n = cell.values()
    if n == 0:
        return "no run"
    return f"{middle:.4g} [{low:.4g}, {high:.4g}]" + (f" in {n}" if n != runs else "")
