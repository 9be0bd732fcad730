"""Reads monitor files of Stable-Baselines: a ``#`` line of JSON, then one episode in each row: reward, length, time.

Several of them in a folder are parallel environments of one run. Episodes are sorted by their end, and the step of an episode is
the total count of steps in all episodes finished by then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import polars as pl

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, read_header, read_table
from sweeplens.readers.decoding.values import as_number, as_time, empty_reading_points
from sweeplens.readers.protocol import HEAD_BYTES, READING_SCHEMA, Problem

__all__ = ["is_monitor", "read_monitors"]

_COLUMNS = ("r", "l", "t")


def is_monitor(head: bytes) -> bool:
    """Whether a file begins like a monitor: a JSON comment (in newer versions) and a header with r, l and t."""
    header = header_of(head, ",")
    return header is not None and header.names[: len(_COLUMNS)] == _COLUMNS


def read_monitors(paths: Sequence[str], run: str, problems: list[Problem]) -> tuple[pl.DataFrame, float | None]:
    """Returns the episodes of all environments as points, and the start of the first one in seconds since 1970."""
    frames: list[pl.DataFrame] = []
    starts: list[float] = []
    for path in paths:
        header = read_header(path, ",")
        if header is None:
            continue
        start = _start(path)
        starts += [start] if start else []
        table = read_table(path, header, ColumnPlan(), run)
        problems += table.problems
        if table.points.height:
            frames.append(_episodes(table.points, start or 0.0))
    return _merged(frames, run), min(starts, default=None)


def _start(path: str) -> float | None:
    first = compression.head(path, HEAD_BYTES).split(b"\n", 1)[0].lstrip(b"#\xef\xbb\xbf ")
    try:
        comment = json.loads(first)
    except (ValueError, RecursionError):
        return None
    start = as_number(cast("dict[str, Any]", comment).get("t_start")) if isinstance(comment, dict) else None
    return start if start and as_time(start) else None


def _episodes(points: pl.DataFrame, start: float) -> pl.DataFrame:
    """Returns one row for each episode: its columns, and the time of its end."""
    wide = points.pivot(on="metric", index="step", values="value", aggregate_function="last").sort("step").drop("step")
    missing = [pl.lit(None, dtype=pl.Float64).alias(c) for c in _COLUMNS if c not in wide.columns]
    return wide.with_columns(missing).with_columns((pl.col("t") + start).forward_fill().alias("\0ended"))


def _merged(frames: list[pl.DataFrame], run: str) -> pl.DataFrame:
    if not frames:
        return empty_reading_points()
    all_ = pl.concat(frames, how="diagonal").sort("\0ended", maintain_order=True, nulls_last=True)
    made = pl.col("l").fill_nan(None).fill_null(0.0).cum_sum().cast(pl.Int64, strict=False).forward_fill().fill_null(0)
    ended = pl.col("\0ended").fill_nan(None)
    wall = (
        pl.when(ended.is_between(1e8, 1e11))
        .then((ended * 1e6).round().cast(pl.Int64, strict=False))
        .cast(READING_SCHEMA["wall_time"])
    )
    base = all_.with_columns(made.alias("\0step"), wall.alias("\0wall"))
    parts = [_series(base, run, c) for c in all_.columns if not c.startswith("\0")]
    return pl.concat(parts)


def _series(base: pl.DataFrame, run: str, column: str) -> pl.DataFrame:
    return base.filter(pl.col(column).is_not_null()).select(
        pl.lit(run).alias("run_id"),
        pl.lit(f"monitor/{column}").alias("metric"),
        pl.col("\0step").alias("step"),
        pl.col(column).alias("value"),
        pl.col("\0wall").alias("wall_time"),
    )
