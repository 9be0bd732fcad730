"""Converts values in logs to numbers, times and statuses; `PointBuffer` collects points."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

import polars as pl

from sweeplens.errors import SourceLimitError
from sweeplens.plain_data import plain_text
from sweeplens.readers.protocol import READING_SCHEMA
from sweeplens.source_limits import MAX_POINTS

__all__ = [
    "PointBuffer",
    "as_number",
    "as_step",
    "as_time",
    "empty_reading_points",
    "first_of_ratio",
    "micros_of",
    "number_in",
    "status_of",
    "written_number",
    "written_text",
]

_EPOCH, _MICROSECOND = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)
_WORDS = {
    "nan": math.nan,
    "-nan": math.nan,
    "inf": math.inf,
    "+inf": math.inf,
    "infinity": math.inf,
    "+infinity": math.inf,
    "-inf": -math.inf,
    "-infinity": -math.inf,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"
_PLAIN = re.compile(rf"\s*(?:{_NUMBER})\s*", re.IGNORECASE)
_DRESSED = re.compile(
    rf"\s*(?:(?P<share>{_NUMBER})\s*%|\[\s*(?P<list>{_NUMBER})\s*\]"
    rf"|(?:[\w.]*\.)?(?:tensor|array|float\d*|int\d*|bfloat16)\(\s*\[?\s*(?P<call>{_NUMBER})\s*\]?\s*(?:,[^()]*(?:\([^()]*\)[^()]*)?)?\))\s*",
    re.IGNORECASE,
)
_RATIO = re.compile(r"\s*(\d{1,18})\s*(?:/|of)\s*\d{1,18}\s*")
_LONGEST = 200  # characters of a text that may be a number

_STATUS = {
    "finished": "finished", "completed": "finished", "complete": "finished", "success": "finished", "succeeded": "finished",
    "done": "finished", "terminated": "finished", "ok": "finished", "pruned": "pruned", "waiting": "waiting",
    "failed": "failed", "fail": "failed", "failure": "failed", "error": "failed", "errored": "failed",
    "crashed": "crashed", "crash": "crashed",
    "killed": "killed", "interrupted": "killed", "aborted": "killed", "cancelled": "killed", "canceled": "killed",
    "stopped": "killed", "timeout": "killed", "preempted": "killed",
    "running": "running", "started": "running", "active": "running",
    "queued": "waiting", "scheduled": "waiting", "pending": "waiting",
}  # fmt: skip


def as_number(value: object) -> float | None:
    """Converts a number, or a word for NaN or infinity, to a float; returns None for anything else, also for booleans."""
    if isinstance(value, float):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return None


def written_text(raw: bytes) -> str:
    """Returns text in UTF-8, else in Windows-1252: what Excel and Python on Windows write in Western Europe."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def written_number(text: str) -> float | None:
    """Parses a number in text: ``"9.77"``, ``"50%"`` (50), ``"[0.5]"``, ``"tensor(0.5, device='cuda:0')"``; else None."""
    if len(text) > _LONGEST or not text.isascii():
        return None
    if _PLAIN.fullmatch(text):
        return float(text)
    found = _DRESSED.fullmatch(text)
    return float(found[found.lastgroup]) if found and found.lastgroup else None


def first_of_ratio(text: str) -> int | None:
    """Returns the 10 of ``10/438``; None for any other text."""
    found = _RATIO.fullmatch(text[:_LONGEST])
    return int(found[1]) if found else None


def number_in(value: object) -> float | None:
    """Returns the number in a value: `as_number`, a number in text, or a list of one number; else None."""
    number = as_number(value)
    if number is None and isinstance(value, str):
        return written_number(value)
    if number is None and isinstance(value, list) and len(cast("list[object]", value)) == 1:
        return as_number(cast("list[object]", value)[0])
    return number


def as_step(value: object) -> int | None:
    """Converts a whole number within 64 bits, also a float, to an int; returns None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if -(1 << 63) <= value < (1 << 63) else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return None


def as_time(value: object) -> datetime | None:
    """Converts seconds, milli-, micro- or nanoseconds since 1970, or ISO 8601 text (naive: UTC), to a datetime; else None."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value.strip())
            return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        except (ValueError, OverflowError):  # the zone may lead beyond the range of years
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e8 <= value <= sys.float_info.max:
        return None
    seconds = float(value)
    while seconds > 1e11:  # seconds reach 1e11 in the year 5138
        seconds /= 1000.0
    return datetime.fromtimestamp(seconds, UTC)


def micros_of(time: datetime) -> int:
    """Returns exact microseconds since 1970 of an aware time; the float of ``timestamp()`` may round to less."""
    return (time - _EPOCH) // _MICROSECOND


def status_of(text: object) -> str:
    """Converts a tool's word for a run's state to one of frames.STATUSES; "" for an unknown word."""
    word = re.sub(r".*[._]", "", str(text).strip().lower()) if text is not None else ""
    return _STATUS.get(word, "")


_PACKED = 1 << 20  # points


class PointBuffer:
    """Collects points in logged order; `frame` returns them as `Reading.points`.

    Full batches are packed into frames, which need a third of the memory. Raises SourceLimitError beyond `MAX_POINTS`.
    """

    __slots__ = ("_metric", "_n_packed", "_packed", "_run", "_step", "_value", "_wall")

    def __init__(self) -> None:
        self._packed: list[pl.DataFrame] = []
        self._n_packed = 0
        self._clear()

    def _clear(self) -> None:
        self._run: list[str] = []
        self._metric: list[str] = []
        self._step: list[int] = []
        self._value: list[float] = []
        self._wall: list[int | None] = []

    def add(self, run: str, metric: str, step: int, value: float, wall: datetime | None = None) -> None:
        """Adds one point; ``wall`` is an aware datetime."""
        self._run.append(run)
        self._metric.append(metric)
        self._step.append(step)
        self._value.append(value)
        self._wall.append(None if wall is None else micros_of(wall))
        if len(self._value) >= _PACKED:
            self._pack()

    def add_series(self, run: str, metric: str, steps: Iterable[int], values: list[float]) -> None:
        """Adds all points of a series at once; there is a step for each value."""
        self._run += [run] * len(values)
        self._metric += [metric] * len(values)
        self._step += steps
        self._value += values
        self._wall += [None] * len(values)
        if len(self._value) >= _PACKED:
            self._pack()

    def _pack(self) -> None:
        self._packed.append(self._unpacked())
        self._n_packed += len(self._value)
        self._clear()
        if len(self) > MAX_POINTS:
            raise SourceLimitError(f"more than {MAX_POINTS:,} points in one file: not read")

    def add_nested(self, non_scalar: dict[str, int], at: tuple[str, str, int], value: object) -> None:
        """Adds a value of a run, a metric and a step. Objects are added by part; values that are not numbers are counted."""
        run, name, step = at
        number = as_number(value)
        if number is not None:
            self.add(run, name, step, number)
        elif isinstance(value, dict):
            for key, inner in cast("dict[str, object]", value).items():
                self.add_nested(non_scalar, (run, f"{name}.{key}", step), inner)
        else:
            non_scalar[name] = non_scalar.get(name, 0) + 1

    def __len__(self) -> int:
        return len(self._value) + self._n_packed

    def frame(self) -> pl.DataFrame:
        """Returns everything that was added, as READING_SCHEMA."""
        return pl.concat([*self._packed, self._unpacked()], rechunk=False) if self._packed else self._unpacked()

    def _unpacked(self) -> pl.DataFrame:
        """Returns the points that are not packed yet."""
        raw: dict[str, Any] = {
            "run_id": _texts(self._run),
            "metric": _texts(self._metric),
            "step": pl.Series(self._step, dtype=pl.Int64),
            "value": pl.Series(self._value, dtype=pl.Float64),
            "wall_time": pl.Series(self._wall, dtype=pl.Int64).cast(READING_SCHEMA["wall_time"]),
        }
        return pl.DataFrame(raw)


def _texts(names: list[str]) -> pl.Series:
    """Returns names as a column, in which lone surrogates are replaced."""
    try:
        return pl.Series(names, dtype=pl.String)
    except UnicodeEncodeError:
        return pl.Series([plain_text(n) for n in names], dtype=pl.String)


@cache
def empty_reading_points() -> pl.DataFrame:
    """Returns `Reading.points` without rows."""
    return pl.DataFrame(schema=READING_SCHEMA)


def joined_points(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Concatenates frames of `Reading.points`."""
    kept = [f.select(*READING_SCHEMA) for f in frames if f.height]
    return pl.concat(kept) if kept else empty_reading_points()
