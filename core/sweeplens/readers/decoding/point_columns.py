"""Turns columns (a database's table, a file of one metric) into `Reading.points`, without a loop in Python.

`points_of` takes five columns of equal length. Rows whose step or value is not a number are left out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from sweeplens.counting import count_of
from sweeplens.readers.decoding.values import as_number, as_step
from sweeplens.readers.protocol import READING_SCHEMA, Problem

__all__ = ["PointColumns", "left_out", "points_of", "points_of_rows"]

_LAST_MICROSECOND = 253_402_300_799_000_000  # the year 9999, where Python's datetime ends


class PointColumns:
    """Collects whole series as columns; `frame` returns them as `Reading.points`."""

    __slots__ = ("_metric", "_run", "_step", "_value", "_wall")

    def __init__(self) -> None:
        self._run: list[Any] = []
        self._metric: list[Any] = []
        self._step: list[Any] = []
        self._value: list[Any] = []
        self._wall: list[Any] = []

    def series(
        self, run: str, metric: str, steps: Sequence[int], values: Sequence[float], wall_us: Sequence[int | None] = ()
    ) -> None:
        """Adds one series: values, their steps, and their times in microseconds since 1970 where they are known."""
        n = len(values)
        self._run += [run] * n
        self._metric += [metric] * n
        self._step += steps
        self._value += values
        self._wall += wall_us or [None] * n

    def frame(self) -> pl.DataFrame:
        """Returns everything that was added, as READING_SCHEMA."""
        return points_of(self._run, self._metric, self._step, self._value, self._wall)[0]


def points_of(
    runs: Sequence[Any], metrics: Sequence[Any], steps: Sequence[Any], values: Sequence[Any], wall_us: Sequence[Any]
) -> tuple[pl.DataFrame, int]:
    """Returns points from columns, and the count of rows left out because their step or value is not a number."""
    raw = pl.DataFrame(
        {
            "run_id": _column(runs, pl.String()),
            "metric": _column(metrics, pl.String()),
            "step": _column(steps, pl.Int64()),
            "value": _column(values, pl.Float64()),
            "wall_time": _column(wall_us, pl.Int64()),
        }
    )
    good = raw.filter(pl.all_horizontal(pl.col("run_id", "metric", "step", "value").is_not_null()))
    known = pl.col("wall_time").is_between(1, _LAST_MICROSECOND)
    frame = good.with_columns(pl.when(known).then(pl.col("wall_time")).cast(READING_SCHEMA["wall_time"]))
    return frame, raw.height - good.height


def points_of_rows(rows: Sequence[tuple[Any, Any, Any, Any, Any]]) -> tuple[pl.DataFrame, int]:
    """`points_of` for rows of run, metric, step, value, time in microseconds."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    return points_of(columns[0], columns[1], columns[2], columns[3], columns[4])


def left_out(n: int, file: str, what: str) -> tuple[Problem, ...]:
    """Returns a problem with the count of rows that were left out; () for none."""
    return (Problem(file, f"{count_of(n, 'row')} of {what} without a number or a step: left out"),) if n else ()


def _column(values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """Returns a column of one type; values of other types become null. SQLite allows any type in any column."""
    try:
        return pl.Series(values, dtype=dtype)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series([_as(v, dtype) for v in values], dtype=dtype)


def _as(value: object, dtype: pl.DataType) -> str | int | float | None:
    if dtype == pl.String():
        return value if isinstance(value, str) else None
    return as_step(value) if dtype == pl.Int64() else as_number(value)
