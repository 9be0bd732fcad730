"""Decodes many events of a known shape at once.

The events of one tag differ only in time, step and value: ``09 time [10 step] 2a summary``. A shape is the bytes between the step
and the value (with the tag and every length), the count of bytes after that, and the value's format. An event with a known shape
is decoded by position, with the same result as field by field.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from sweeplens.readers.tensorboard.tfrecord import RecordBatch

__all__ = ["DecodedPoints", "EventShapes", "Floats", "Ints", "MatchedBatch"]

_TIME, _STEP = 0x09, 0x10
_WIDTH = {"<f": 4, "<d": 8, "<i": 4, "<q": 8}

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class DecodedPoints(Struct, frozen=True):
    """Points of a batch: the record of each, its metric, step, value and time."""

    record: Ints
    metric: Ints
    step: Ints
    value: Floats
    wall: Floats


class _EventShape(Struct, frozen=True):
    """Events with the same end: the bytes from the value to the end, the value's format, and the metric of each key."""

    tail: int
    form: str
    known: dict[bytes, int] = field(default_factory=dict[bytes, int])


class EventShapes:
    """The shapes found in a file so far."""

    def __init__(self) -> None:
        self.all: list[_EventShape] = []

    def learn(self, key: bytes, tail: int, form: str, metric: int) -> None:
        """Adds a shape: events with these bytes between step and value are points of a metric."""
        if form not in _WIDTH:
            return
        shape = next((s for s in self.all if (s.tail, s.form) == (tail, form)), None)
        if shape is None:
            shape = _EventShape(tail, form)
            self.all.append(shape)
        shape.known[key] = metric


class MatchedBatch:
    """A batch matched with the known shapes: for each record its metric (-1: unknown), shape, and the end of its step."""

    def __init__(self, batch: RecordBatch, shapes: EventShapes) -> None:
        self._batch = batch
        self._bytes = np.frombuffer(batch.buffer, np.uint8)
        self._shapes = shapes
        self.step, self.after = _steps(self._bytes, batch.begins)
        self.metric = np.full(len(batch.begins), -1, np.int64)
        self._shape = np.zeros(len(batch.begins), np.int64)
        self._plain = self._bytes[np.minimum(batch.begins, len(self._bytes) - 1)] == _TIME
        for number in range(len(shapes.all)):
            self._match(number, np.flatnonzero(self._plain & (self.metric < 0)))

    def match_again(self, record: int) -> bool:
        """Matches a record again with shapes found since; returns whether it has a metric now."""
        for number in range(len(self._shapes.all)):
            self._match(number, np.array([record]) if self._plain[record] else np.array([], np.int64))
            if self.metric[record] >= 0:
                return True
        return False

    def columns(self) -> DecodedPoints:
        """Returns the points of the records with a known shape, in order."""
        begins, ends = self._batch.begins, self._batch.ends
        value = np.zeros(len(begins), np.float64)
        for number, shape in enumerate(self._shapes.all):
            rows = np.flatnonzero((self.metric >= 0) & (self._shape == number))
            value[rows] = _gathered(self._bytes, ends[rows] - shape.tail, shape.form)
        found = np.flatnonzero(self.metric >= 0)
        wall = _gathered(self._bytes, begins[found] + 1, "<d")
        return DecodedPoints(found, self.metric[found], self.step[found], value[found], wall)

    def _match(self, number: int, rows: Ints) -> None:
        shape, buffer = self._shapes.all[number], self._batch.buffer
        get = shape.known.get
        edges = zip(self.after[rows].tolist(), (self._batch.ends[rows] - shape.tail).tolist(), strict=True)
        metric = np.array([get(buffer[a:b], -1) for a, b in edges], np.int64)
        self.metric[rows] = metric
        self._shape[rows[metric >= 0]] = number


def _steps(data: NDArray[np.uint8], begins: Ints) -> tuple[Ints, Ints]:
    """Returns the step of each event (0 where it is not the second field) and the position after it."""
    last = len(data) - 1
    at = begins + 9
    open_ = data[np.minimum(at, last)] == _STEP
    at = at + open_
    step = np.zeros(len(begins), np.uint64)
    for shift in range(0, 70, 7):
        byte = data[np.minimum(at, last)]
        step |= np.where(open_, (byte & 0x7F).astype(np.uint64) << np.uint64(shift), np.uint64(0))
        at = at + open_
        open_ = open_ & (byte >= 0x80)
        if not open_.any():
            break
    return step.view(np.int64), at


def _gathered(data: NDArray[np.uint8], at: Ints, form: str) -> Floats:
    """Returns the numbers of a format at the positions."""
    raw = data[at[:, None] + np.arange(_WIDTH[form])]
    return raw.view(np.dtype(form)).ravel().astype(np.float64)
