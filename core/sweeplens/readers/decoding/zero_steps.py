"""Values that were logged without a step, which trackers write down as step 0, are numbered in the order of their logging."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from sweeplens.readers.protocol import Reading

__all__ = ["numbered"]

_MANY = 3  # values at step 0: fewer are one that was written again
_KEY = ["run_id", "metric"]


def numbered(reading: Reading) -> Reading:
    """The reading with every series that stands at step 0 alone numbered from 0; it is then read whole whenever it grows."""
    if not _begins_at_zero(reading):
        return reading
    points = reading.points
    still = (pl.col("step") == 0).all().over(_KEY) & (pl.len().over(_KEY) >= _MANY)
    marks = points.select(still.alias("still"))["still"]
    if not marks.any():
        return reading
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(_KEY)
    placed = points.with_columns(pl.when(marks).then(place).otherwise("step").alias("step"))
    return replace(reading, points=placed, resume=None)


def _begins_at_zero(reading: Reading) -> bool:
    """Whether more than one value of a reading stands at step 0."""
    return reading.points.height > 1 and int((reading.points["step"] == 0).sum()) > 1
