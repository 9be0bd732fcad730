"""Decodes TensorBoard events to columns of scalars and facts: hyperparameters, status, counts of other values.

The first event of each shape is parsed field by field; `event_shapes` decodes the others, many at once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
from msgspec import Struct, field

from sweeplens.readers.decoding.protobuf import WireError, as_float, as_signed, as_text, fields, spans, varint
from sweeplens.readers.protocol import READING_SCHEMA
from sweeplens.readers.tensorboard.event_shapes import DecodedPoints, EventShapes, MatchedBatch
from sweeplens.readers.tensorboard.hparams import HparamsSession, session_of
from sweeplens.readers.tensorboard.tensor import one_number
from sweeplens.readers.tensorboard.text_settings import settings_of_text, text_of
from sweeplens.readers.tensorboard.tfrecord import RecordBatch

__all__ = ["EventFacts", "ScalarEvents"]

_WALL, _STEP, _SUMMARY = 1, 2, 5
_TAG, _SIMPLE, _TENSOR, _METADATA = 1, 2, 8, 9
_DOUBLE = struct.Struct("<d").unpack_from

Rename = Callable[[str], str]


class EventFacts(Struct):
    """The facts in a run's events besides scalars. They are kept between readings."""

    hyperparameters: dict[str, object] = field(default_factory=dict[str, object])
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    plugins: dict[str, str] = field(default_factory=dict[str, str])  # tag -> plugin: some writers write it only once
    group: str = ""
    began: float = 0.0  # seconds since 1970
    status: str = ""
    ended: float = 0.0  # time of the status

    def add(self, session: HparamsSession, wall: float) -> None:
        """Adds the facts from the hparams plugin."""
        self.hyperparameters.update(session.hyperparameters)
        self.group = session.group or self.group
        self.began = session.began or self.began
        if session.status:
            self.status, self.ended = session.status, wall


class _NumberField(Struct, frozen=True):
    """A number in an event: the position of its bytes and their struct format ("" where it is not stored directly)."""

    metric: int
    value: float
    at: int
    form: str


class _EventPoint(Struct, frozen=True):
    """A point of an event that was parsed field by field."""

    record: int
    metric: int
    step: int
    value: float
    wall: float


class ScalarEvents:
    """The scalars of a run's event files, in the order of reading."""

    def __init__(self, facts: EventFacts) -> None:
        self.facts = facts
        self.names: dict[str, int] = {}
        self.broken = 0  # valid records that are not events
        self._columns: list[DecodedPoints] = []

    def read(self, batches: Iterable[RecordBatch], rename: Rename) -> None:
        """Reads the events of one file; ``rename`` returns the metric of a tag."""
        shapes = EventShapes()
        for batch in batches:
            seen = MatchedBatch(batch, shapes)
            rare: list[_EventPoint] = []
            for record in np.flatnonzero(seen.metric < 0).tolist():
                if not seen.match_again(record):
                    event = batch.buffer[batch.begins[record] : batch.ends[record]]
                    rare += self._whole(event, record, shapes, rename)
            self._columns.append(_merged(seen.columns(), rare))

    def logged(self) -> list[int]:
        """Returns the metric of every point, in order."""
        return [metric for columns in self._columns for metric in columns.metric.tolist()]

    def frame(self, run_id: str) -> pl.DataFrame:
        """Returns everything read so far, as READING_SCHEMA."""
        names = pl.Series(list(self.names), dtype=pl.String)
        metric = pl.Series(np.concatenate([np.array([], np.int64), *(c.metric for c in self._columns)]))
        raw = {
            "run_id": pl.Series([run_id], dtype=pl.String).new_from_index(0, len(metric)),
            "metric": names.gather(metric),
            "step": pl.Series(np.concatenate([np.array([], np.int64), *(c.step for c in self._columns)])),
            "value": pl.Series(np.concatenate([np.array([]), *(c.value for c in self._columns)])),
            "wall_time": pl.Series(np.concatenate([np.array([]), *(c.wall for c in self._columns)])),
        }
        sane = pl.col("wall_time").is_between(0, 1e11, closed="none")
        micros = pl.when(sane).then((pl.col("wall_time") * 1e6).round()).cast(pl.Int64)
        return pl.DataFrame(raw).with_columns(micros.cast(READING_SCHEMA["wall_time"]))

    def _whole(self, data: bytes, record: int, shapes: EventShapes, rename: Rename) -> list[_EventPoint]:
        """Parses an event field by field, and learns its shape. A record that is not an event is counted."""
        try:
            return self._parsed(data, record, shapes, rename)
        except (WireError, IndexError, struct.error):
            self.broken += 1
            return []

    def _parsed(self, data: bytes, record: int, shapes: EventShapes, rename: Rename) -> list[_EventPoint]:
        wall, step, summary = 0.0, 0, (0, 0)
        for number, kind, begin, end in spans(data, 0, len(data)):
            if number == _WALL and kind == 1:
                wall = _DOUBLE(data, begin)[0]
            elif number == _STEP and kind == 0:
                step = as_signed(varint(data, begin)[0])
            elif number == _SUMMARY and kind == 2:
                summary = (begin, end)
        self.facts.began = self.facts.began or wall
        values = [(begin, end) for n, k, begin, end in spans(data, *summary) if n == 1 and k == 2]
        found = [f for where in values if (f := self._one(data, where, wall, rename)) is not None]
        if len(values) == len(found) == 1:
            _learn_shape(data, summary, found[0], shapes)
        return [_EventPoint(record, f.metric, step, f.value, wall) for f in found]

    def _one(self, data: bytes, where: tuple[int, int], wall: float, rename: Rename) -> _NumberField | None:
        """Parses one Summary.Value: returns its number, or adds its facts and returns None."""
        tag, plugin, content = "", "", b""
        found: tuple[float, int, str] | None = None
        tensor = (0, 0)
        for number, kind, begin, end in spans(data, *where):
            if number == _TAG and kind == 2:
                tag = as_text(data[begin:end])
            elif number == _SIMPLE and kind == 5:
                found = (as_float(int.from_bytes(data[begin:end], "little")), begin, "<f" if tag else "")
            elif number == _TENSOR and kind == 2:
                tensor = (begin, end)
            elif number == _METADATA and kind == 2:
                plugin, content = _plugin(data[begin:end])
        plugin = self._plugin_of(tag, plugin)
        if plugin == "hparams":
            if session := session_of(content):
                self.facts.add(session, wall)
            return None
        if found is None and plugin in ("", "scalars"):
            found = one_number(data, *tensor)
        if found is None and plugin == "text" and (settings := settings_of_text(tag, text_of(data, *tensor))):
            self.facts.hyperparameters = {**settings, **self.facts.hyperparameters}
            return None
        if found is None:
            self.facts.non_scalar[rename(tag)] = self.facts.non_scalar.get(rename(tag), 0) + 1
            return None
        return _NumberField(self.names.setdefault(rename(tag), len(self.names)), *found)

    def _plugin_of(self, tag: str, plugin: str) -> str:
        if plugin:
            self.facts.plugins[tag] = plugin
        return plugin or self.facts.plugins.get(tag, "")


def _merged(columns: DecodedPoints, rare: list[_EventPoint]) -> DecodedPoints:
    """Merges decoded points and parsed points in the order of their records."""
    if not rare:
        return columns
    record = np.concatenate([columns.record, np.array([p.record for p in rare], np.int64)])
    order = np.argsort(record, kind="stable")
    return DecodedPoints(
        record[order],
        np.concatenate([columns.metric, np.array([p.metric for p in rare], np.int64)])[order],
        np.concatenate([columns.step, np.array([p.step for p in rare], np.int64)])[order],
        np.concatenate([columns.value, np.array([p.value for p in rare], np.float64)])[order],
        np.concatenate([columns.wall, np.array([p.wall for p in rare], np.float64)])[order],
    )


def _plugin(metadata: bytes) -> tuple[str, bytes]:
    """Returns the plugin's name and data in a SummaryMetadata."""
    for number, value in fields(metadata):
        if number == 1 and isinstance(value, bytes):
            data = dict(fields(value))
            content = data.get(2, b"")
            return as_text(data.get(1, b"")), content if isinstance(content, bytes) else b""
    return "", b""


def _learn_shape(data: bytes, summary: tuple[int, int], found: _NumberField, shapes: EventShapes) -> None:
    """Learns the shape of an event, if it is only time, step and summary in this order."""
    at = 9 if data[9] != 0x10 else varint(data, 10)[1]
    if data[0] == 0x09 and data[at] == 0x2A and varint(data, at + 1)[1] == summary[0] and summary[1] == len(data):
        shapes.learn(data[at : found.at], len(data) - found.at, found.form, found.metric)
