"""Reads the history records of a W&B log as columns of points.

A record is one ``log`` call: items with a key and a JSON value, and the step. Most values are plain numbers, also NaN and
Infinity, which ``float`` parses from their bytes; others are decoded as JSON. W&B's own keys begin with ``_``: ``_step`` is the
axis, and ``_timestamp`` or else ``_runtime`` the time.

The bytes before a value (lengths and key) repeat in each row. They are parsed once and cached, so a record of ten items costs ten
look-ups.
"""

from __future__ import annotations

import math
from array import array
from typing import cast

import polars as pl
from msgspec import Struct, field

from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.protobuf import WireError, as_signed, as_text, fields, varint
from sweeplens.readers.decoding.values import as_number, as_step
from sweeplens.readers.protocol import READING_SCHEMA

__all__ = ["WandbHistory", "item"]

_ITEM, _STEP = 0x0A, 0x12
_KEYS = (0x0A, 0x12)  # of an item: its key, or the only part of its nested key
_VALUE = b"\x82\x01"
_AXIS, _TIME, _ELAPSED, _INTERNAL = -1, -2, -3, -4
_INTERNAL_KEYS = {b"_step": _AXIS, b"_timestamp": _TIME, b"_runtime": _ELAPSED}


class _HistoryRow(Struct):
    """The values of a record that are not points."""

    own: dict[int, float] = field(default_factory=dict[int, float])
    nested: list[tuple[tuple[str, ...], bytes]] = field(default_factory=list[tuple[tuple[str, ...], bytes]])
    step: int | None = None


class WandbHistory:
    """Collects history rows into a frame. A later reading continues from `state`."""

    def __init__(
        self,
        last_step: int = -1,
        last_wall: float = 0.0,
        non_scalar: dict[str, int] | None = None,
        summary: dict[str, str] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.last_step = last_step
        self.last_wall = last_wall  # seconds since 1970
        self.non_scalar: dict[str, int] = dict(non_scalar or {})
        self.summary: dict[str, str] = dict(summary or {})  # name -> JSON
        self.shift = 0  # added to the steps of a file that counts from the beginning again, in a run that was resumed
        self._first: int | None = None
        self._new_file = False
        self._names: dict[bytes, int] = {n.encode(): i for i, n in enumerate(names or ())}
        self._heads: dict[bytes, tuple[int, int]] = {}  # bytes before a value -> metric, length of the value
        self._metric, self._value = array("I"), array("d")
        self._step, self._wall = array("q"), array("d")

    def next_file(self) -> None:
        """From now on, rows are those of a later file of the same run."""
        self._new_file = True

    def state(self) -> dict[str, object]:
        """Returns the state for a later reading, as JSON values."""
        names = [n.decode("utf-8", "replace") for n in self._names]
        of = ("last_step", "last_wall", "non_scalar", "summary")
        return {**{name: getattr(self, name) for name in of}, "names": names}

    def metrics(self) -> set[str]:
        """Returns the names that were logged as numbers."""
        return {name.decode("utf-8", "replace") for name in self._names}

    def add(self, data: bytes, at: int, end: int, began: float = 0.0) -> None:
        """Adds the history record between two positions; ``_runtime`` counts from ``began``.

        Raises WireError where it is damaged.
        """
        before = len(self._value)
        row, heads = _HistoryRow(), self._heads
        add_metric, add_value = self._metric.append, self._value.append
        try:
            while at < end:
                mark = at + 7 + data[at + 3] if at + 3 < end else end
                hit = heads.get(data[at:mark])
                if hit is None:
                    at = self._field(data, at, end, row)
                    continue
                metric, size = hit
                at = mark + size
                try:
                    value = float(data[mark:at])
                except ValueError:
                    self._one(metric, data[mark:at], row)
                    continue
                if metric >= 0:
                    add_metric(metric)
                    add_value(value)
                else:
                    row.own[metric] = value
            if at != end:
                raise WireError("an item goes beyond its record")
        except (WireError, IndexError):
            del self._metric[before:], self._value[before:]
            raise WireError("no history record") from None
        if row.nested:
            self._add_nested(row)
        self._close(row, began)

    def add_summary(self, data: bytes, at: int, end: int) -> None:
        """Adds a summary record: keeps the last value of names that are not metrics of the history."""
        while at < end:
            mark = at + 7 + data[at + 3] if at + 3 < end else end
            hit = self._heads.get(data[at:mark])
            if hit is not None:
                at = mark + hit[1]
                continue
            kind = data[at]
            size, at = varint(data, at + 1)
            if kind == _ITEM and at + size <= end:
                path, raw = item(data[at : at + size])
                if path and not path[0].startswith("_"):
                    self.summary[".".join(path)] = raw.decode("utf-8", "replace")
            at += size

    def only_in_summary(self) -> dict[str, object]:
        """Returns numbers and texts that only the summary has."""
        known = self.metrics() | set(self.non_scalar)
        found: dict[str, object] = {}
        for name, raw in self.summary.items():
            try:
                value = decode(raw.encode())
            except ValueError:
                continue
            mine = name in known or any(name.startswith(f"{n}.") for n in self.non_scalar)
            if not mine and isinstance(value, int | float | str):
                found[name] = value
        return found

    def frame(self, run_id: str) -> pl.DataFrame:
        """Returns everything added so far, as READING_SCHEMA."""
        names = pl.Series([n.decode("utf-8", "replace") for n in self._names], dtype=pl.String)
        raw = {
            "run_id": pl.Series([run_id], dtype=pl.String).new_from_index(0, len(self._value)),
            "metric": names.gather(pl.Series(self._metric, dtype=pl.UInt32)),
            "step": pl.Series(self._step, dtype=pl.Int64),
            "value": pl.Series(self._value, dtype=pl.Float64),
            "wall_time": pl.Series(self._wall, dtype=pl.Float64),
        }
        sane = pl.col("wall_time").is_between(0, 1e11, closed="none")
        micros = pl.when(sane).then((pl.col("wall_time") * 1e6).round()).cast(pl.Int64)
        return pl.DataFrame(raw).with_columns(micros.cast(READING_SCHEMA["wall_time"]))

    def _field(self, data: bytes, at: int, end: int, row: _HistoryRow) -> int:
        """Parses one field of a record, and caches the bytes before its value. Returns the position after it."""
        start, kind = at, data[at]
        size, at = varint(data, at + 1)
        stop = at + size
        if stop > end or kind & 7 != 2:
            raise WireError("an item goes beyond its record")
        if kind == _STEP:
            row.step = next((as_signed(v) for n, v in fields(data[at:stop]) if n == 1), 0)
        elif kind == _ITEM:
            name, value = _simple(data, at, stop)
            if not name:
                row.nested.append(item(data[at:stop]))
                return stop
            metric = _INTERNAL_KEYS.get(name, _INTERNAL) if name.startswith(b"_") else self._number_of(name)
            if value - start == 7 + data[start + 3]:
                self._heads[data[start:value]] = (metric, stop - value)
            self._one(metric, data[value:stop], row)
        return stop

    def _number_of(self, name: bytes) -> int:
        return self._names.setdefault(name, len(self._names))

    def _one(self, metric: int, raw: bytes, row: _HistoryRow) -> None:
        try:
            value = float(raw)
        except ValueError:
            if metric >= 0:
                self._other(self._name(metric), raw)
            return
        if metric >= 0:
            self._metric.append(metric)
            self._value.append(value)
        else:
            row.own[metric] = value

    def _name(self, metric: int) -> str:
        return list(self._names)[metric].decode("utf-8", "replace")

    def _other(self, name: str, raw: bytes) -> None:
        """Adds a value that is not a plain number: a word for a number, an object of numbers, or a value to count."""
        try:
            self._decoded(name, decode(raw))
        except ValueError:
            self._count(name)

    def _decoded(self, name: str, value: object) -> None:
        number = as_number(value)
        if number is not None:
            self._metric.append(self._number_of(name.encode()))
            self._value.append(number)
        elif isinstance(value, dict) and value and "_type" not in value:
            for key, inner in cast("dict[str, object]", value).items():
                self._decoded(f"{name}.{key}", inner)
        else:
            self._count(name)

    def _add_nested(self, row: _HistoryRow) -> None:
        """Adds items whose key is a path. Items beside a ``_type`` are one value that is not a number."""
        typed = {path[:-1] for path, _ in row.nested if path[-1:] == ("_type",)}
        for path in sorted(typed):
            self._count(".".join(path))
        for path, raw in row.nested:
            own = not path or path[0].startswith("_")
            if not own and not any(path[:depth] in typed for depth in range(1, len(path))):
                self._one(self._number_of(".".join(path).encode()), raw, row)

    def _placed(self, said: int | None) -> int:
        """The step of a row. A later file whose steps begin where those of the first began goes on after the earlier one."""
        if said is None:
            return self.last_step + 1
        if self._first is None:
            self._first = said
        elif self._new_file:
            self.shift = self.last_step + 1 - said if said <= self._first and self.last_step >= said else 0
        self._new_file = False
        return said + self.shift

    def _count(self, name: str) -> None:
        self.non_scalar[name] = self.non_scalar.get(name, 0) + 1

    def _close(self, row: _HistoryRow, began: float) -> None:
        """Sets the step and time of a row's points."""
        axis_step = as_step(row.own.get(_AXIS))
        step = self._placed(axis_step if axis_step is not None else row.step)
        wall = row.own.get(_TIME, (began or math.nan) + row.own.get(_ELAPSED, math.nan))
        self.last_step = step
        if wall > self.last_wall:
            self.last_wall = wall
        new = len(self._value) - len(self._step)
        self._step.extend([step] * new)
        self._wall.extend([wall] * new)


def _simple(data: bytes, at: int, stop: int) -> tuple[bytes, int]:
    """Returns the key of an item with only a key and a value, and where the value begins; else (b"", 0)."""
    if data[at] not in _KEYS:
        return b"", 0
    size, begin = varint(data, at + 1)
    middle = begin + size
    if middle + 3 > stop or data[middle : middle + 2] != _VALUE:
        return b"", 0
    length, value = varint(data, middle + 2)
    return (data[begin:middle], value) if value + length == stop else (b"", 0)


def item(data: bytes) -> tuple[tuple[str, ...], bytes]:
    """Returns the path of keys and the value of an item, in any order of its fields."""
    path: list[str] = []
    raw = b""
    for number, value in fields(data):
        if number in (1, 2):
            path.append(as_text(value))
        elif number == 16 and isinstance(value, bytes):
            raw = value
    return tuple(path), raw
