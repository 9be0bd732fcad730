"""Numbers values that were logged without a step, which some trackers store as step 0, in logged order."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from sweeplens.readers.protocol import Reading

__all__ = ["numbered"]

_MANY = 3  # fewer values at step 0 are one value that was written again
_KEY = ["run_id", "metric"]


def numbered(reading: Reading) -> Reading:
    """Numbers each series whose steps are all 0. A reading with such a series is not resumed, but read again whole."""
    if not _begins_at_zero(reading):
        return reading
    points = reading.points
    all_zero = (pl.col("step") == 0).all().over(_KEY) & (pl.len().over(_KEY) >= _MANY)
    marks = points.select(all_zero.alias("all_zero"))["all_zero"]
    if not marks.any():
        return reading
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(_KEY)
    placed = points.with_columns(pl.when(marks).then(place).otherwise("step").alias("step"))
    return replace(reading, points=placed, resume=None)


def _begins_at_zero(reading: Reading) -> bool:
    """Whether more than one value of a reading is at step 0."""
    return reading.points.height > 1 and int((reading.points["step"] == 0).sum()) > 1
