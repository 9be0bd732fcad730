"""Decides whether a text is the log of a training, from the rows of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import polars as pl

from sweeplens.readers.text.names import COST, MEASURE
from sweeplens.readers.text.parse import ParsedLogText

__all__ = ["is_training_log"]

_LEAST_ROWS = 5  # for names that are not measures
_LEAST_SHARE = 0.5  # of the lines after the first row, for such names
_MEASURED_SHARE = 0.02  # of the lines after the first row, for names of measures


def is_training_log(parsed: ParsedLogText, shapes: Mapping[str, int], lines: int) -> bool:
    """Whether rows repeat the same names with numbers while an axis goes forward.

    ``shapes``: count of each shape; ``lines``: count of lines in the sample. Lines of prose rarely have the same shape.
    """
    points = parsed.points
    repeated = sum(n for n in shapes.values() if n > 1)
    if points.is_empty() or 2 * repeated < sum(shapes.values()):
        return False
    names = points["metric"].unique().to_list()
    measured = [n for n in names if MEASURE.search(n) and not COST.search(n)]
    others = [n for n in names if not COST.search(n)]
    rest = lines - cast("int", points["line"].min())
    if measured and _goes_forward(points, measured, least=2) and points["line"].n_unique() >= _MEASURED_SHARE * rest:
        return True
    explicit = [k for k, t in parsed.templates.items() if t.is_row and t.has_axis and not t.columns]
    rows = pl.Series(parsed.axes.line[np.isin(parsed.axes.key, explicit)])
    few = points.filter(pl.col("line").is_in(rows.implode()) & pl.col("metric").is_in(others))
    share = few["line"].n_unique() >= _LEAST_SHARE * rest
    fractions = few.filter(pl.col("value").is_finite() & (pl.col("value") % 1 != 0))
    return share and fractions["step"].n_unique() >= _LEAST_ROWS and _goes_forward(few, others, least=_LEAST_ROWS)


def _goes_forward(points: pl.DataFrame, names: list[str], *, least: int) -> bool:
    """Whether a series has at least ``least`` steps that mostly rise, and more than one value."""
    mine = points.filter(pl.col("metric").is_in(names))
    series = mine.group_by("run", "metric", maintain_order=True).agg(
        steps=pl.col("step").n_unique(),
        rows=pl.len(),
        back=(pl.col("step").diff() < 0).sum(),
        values=pl.col("value").n_unique(),
    )
    good = series.filter(
        (pl.col("steps") >= least)
        & (3 * pl.col("back") <= pl.col("rows"))
        & ((pl.col("values") > 1) | (pl.col("rows") < _LEAST_ROWS))
    )
    return not good.is_empty()
