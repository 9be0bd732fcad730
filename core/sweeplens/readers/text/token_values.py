"""Converts the texts of number tokens to columns of numbers and times."""

from __future__ import annotations

import polars as pl

from sweeplens.readers.protocol import READING_SCHEMA

__all__ = ["numbers_of", "times_of"]


def numbers_of(texts: pl.Series) -> pl.Series:
    """Returns the numbers in texts; null where there is none. Durations become seconds."""
    found = texts.cast(pl.Float64, strict=False)
    if found.null_count():
        bare = texts.str.replace_all(",", "", literal=True).str.strip_chars_start("+").str.to_lowercase()
        found = bare.cast(pl.Float64, strict=False)
        if found.null_count() and bare.str.contains(":", literal=True).any():
            found = found.fill_null(_seconds(bare))
    return found


def _seconds(texts: pl.Series) -> pl.Series:
    """Converts ``1:02:03`` to seconds."""
    parts = texts.str.split(":")
    units = pl.Series([1.0, 60.0, 3600.0])
    values = [
        parts.list.reverse().list.get(i, null_on_oob=True).cast(pl.Float64, strict=False).fill_null(0.0) * units[i]
        for i in range(3)
    ]
    return values[0] + values[1] + values[2]


def times_of(texts: pl.Series) -> pl.Series:
    """Returns the times in texts of a date and a time of day; null where there is none."""
    plain = (
        texts.str.replace_all("/", "-", literal=True)
        .str.replace_all(r"[T_]| +", " ")
        .str.replace(",", ".", literal=True)
    )
    zone = plain.str.extract(r":\d\d(?:\.\d+)?([+-]\d\d:?\d\d)$", 1)
    bare = (
        plain.str.replace(r"(?:Z|[+-]\d\d:?\d\d)$", "")
        if texts.str.contains(r"\d:\d\d[\d.,]*(?:Z|[+-])").any()
        else plain
    )
    times = bare.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    if zone.null_count() < len(zone):
        times = times - _offset(zone)
    return times.dt.replace_time_zone("UTC").cast(READING_SCHEMA["wall_time"])


def _offset(zones: pl.Series) -> pl.Series:
    """Converts a UTC offset such as ``+02:00`` to a duration."""
    hours, minutes = zones.str.slice(1, 2).cast(pl.Int64), zones.str.slice(-2).cast(pl.Int64)
    ahead = (hours * 60 + minutes) * pl.Series([60_000_000]).new_from_index(0, len(zones))
    sign = zones.str.starts_with("-").cast(pl.Int64) * -2 + 1
    return (ahead * sign).fill_null(0).cast(pl.Duration("us"))
