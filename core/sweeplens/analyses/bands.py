"""Bands of many curves: the median and the 10 % and 90 % quantiles over runs, at a few places of the axis.

They come before single curves where a metric has a hundred or more: by group if the runs form few groups, else over all runs.
A run counts up to its end, with its last finite value at or before each place. Of very many runs an even sample is read.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """Returns a line for each group and metric with many curves."""
    sizes = placed.series.group_by("metric").agg(pl.len().alias("runs"), pl.col("n").sum()).sort("metric")
    notes: list[str] = []
    for metric, count, points in sizes.filter(pl.col("runs") >= _MANY).head(_METRICS).iter_rows():
        sample = _even_sample(placed.series.filter(pl.col("metric") == metric), int(_POINTS * count / points))
        curves = placed.lines.drawn(sample).filter(pl.col("x").is_finite() & pl.col("value").is_finite())
        of = f", {sample.height} of {count:,} taken evenly" if sample.height < count else ""
        notes += _lines(metric, placed.lines.x, curves, _members(runs, sample, replicates), of)
    return tuple(notes)


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
    low, high = curves["x"].min(), curves["x"].max()
    if not isinstance(low, float) or not isinstance(high, float):
        return []
    places = [low + (high - low) * i / (_PLACES - 1) for i in range(_PLACES)] if high > low else [low]
    if curves["x"].floor().eq(curves["x"]).all():
        places = list(dict.fromkeys(float(round(p)) for p in places))
    cells = [_at(curves, place).join(member, on="run_id") for place in places]
    lines: list[str] = []
    for label, n in member.group_by("label", maintain_order=True).len().iter_rows():
        parts = [_cell(cell.filter(pl.col("label") == label)["value"], n) for cell in cells]
        shown = "; ".join(f"{x} {place:.6g} {part}" for place, part in zip(places, parts, strict=True))
        lines.append(f"{metric}, {label} ({count_of(n, 'run')}{of}), median [10 %, 90 %]: {shown}.")
    return lines


def _at(curves: pl.DataFrame, place: float) -> pl.DataFrame:
    """Returns run_id, value: the last value up to here of each run that has not ended before."""
    reached = curves.group_by("run_id").agg(pl.col("x").max()).filter(pl.col("x") >= place)
    before = curves.filter(pl.col("x") <= place).join(reached.select("run_id"), on="run_id", how="semi")
    return before.group_by("run_id").agg(pl.col("value").sort_by("x").last())


def _cell(values: pl.Series, runs: int) -> str:
    """Formats the quantiles, with the number of values where some runs have none."""
    middle, low, high = (values.quantile(q, "linear") for q in (0.5, 0.1, 0.9))
    if middle is None or low is None or high is None:
        return "no run"
    return f"{middle:.4g} [{low:.4g}, {high:.4g}]" + (f" in {len(values)}" if len(values) < runs else "")
