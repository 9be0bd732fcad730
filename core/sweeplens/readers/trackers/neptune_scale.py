"""Reads the operations that Neptune's newer client stores in a SQLite file until it sends them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, field

from sweeplens.readers.decoding.protobuf import (
    WireError,
    as_double,
    as_signed,
    as_text,
    as_timestamp,
    fields,
)
from sweeplens.readers.decoding.sqlite import SqliteDatabase, databases, read_database
from sweeplens.readers.decoding.values import PointBuffer
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["NeptuneScale"]

_TABLES = {"run_operations": ("operation_type", "operation"), "metadata": ("run_id", "project")}
_UPDATE, _CREATE = 0, 1
_ProtobufValue = int | bytes


class _ScaleRun(Struct):
    """The operations of a run so far."""

    run: str
    name: str = ""
    created: datetime | None = None
    points: PointBuffer = field(default_factory=PointBuffer)
    settings: dict[str, object] = field(default_factory=dict[str, object])
    tags: list[str] = field(default_factory=list[str])
    counted: dict[str, int] = field(default_factory=dict[str, int])
    broken: int = 0


class NeptuneScale:
    """Runs of ``neptune_scale`` that were not sent.

    Producer: Neptune (``neptune-scale``) with ``mode="offline"``
    Files: ``.neptune/<project>_<run>_<time>/run_operations.sqlite3``
    Reads: every metric at its step with its time; configurations; the experiment's name, the project as group, tags, the time of the start
    Leaves: files, histograms and text series, which are counted; fractions of a step
    """  # noqa: E501 - a line of docs/formats.md each

    name = "neptune_scale"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims databases that have the client's tables."""
        return databases(folder, _TABLES)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all operations."""
        run = source.relative.removesuffix("/run_operations.sqlite3")
        return read_database(source.files[0].path, lambda database: _extract(database, run))


def _extract(database: SqliteDatabase, run: str) -> Reading:
    found = _ScaleRun(run)
    for kind, operation in database.rows("SELECT operation_type, operation FROM run_operations ORDER BY sequence_id"):
        try:
            _add(kind, operation, found)
        except (WireError, TypeError, AttributeError):
            found.broken += 1
    about = next(iter(database.rows("SELECT run_id, project FROM metadata")), ("", ""))
    record = RunRecord(
        found.run,
        name=found.name or str(about[0]),
        group=str(about[1]),
        created_at=found.created,
        tags=tuple(dict.fromkeys(found.tags)),
        hyperparameters=found.settings,
        metadata={"run_id": str(about[0]), "project": str(about[1])},
        non_scalar=found.counted,
    )
    broken = (
        [Problem(database.path, f"{found.broken} operations cannot be read: left out")]
        if found.broken
        else list[Problem]()
    )
    return Reading((record,), found.points.frame(), (*database.problems, *broken))


def _add(kind: int, operation: bytes, found: _ScaleRun) -> None:
    """Adds one operation: the creation of the run, or an update of its attributes."""
    parts = list(fields(operation))
    if kind == _CREATE:
        found.name = next((as_text(v) for n, v in parts if n == 5), found.name)
        found.created = next((as_timestamp(v) for n, v in parts if n == 3), found.created)
    if kind != _UPDATE:
        return
    step = next((_step(v) for n, v in parts if n == 1), 0)
    time = next((as_timestamp(v) for n, v in parts if n == 2), None)
    for number, entry in parts:
        if number not in (4, 5, 8) or not isinstance(entry, bytes):
            continue
        pair = dict(fields(entry))
        name = as_text(pair.get(1, b""))
        if number == 5:
            _tags(name, pair.get(2, b""), found)
        elif number == 4:
            _assign(name, pair.get(2, b""), found)
        elif (value := _value(pair.get(2, b""))) is not None and not isinstance(value, str):
            found.points.add(found.run, name, step, float(value), time)
        else:
            found.counted[name] = found.counted.get(name, 0) + 1


def _step(message: _ProtobufValue) -> int:
    parts = dict(fields(message)) if isinstance(message, bytes) else {}
    return as_signed(parts.get(1, 0))


def _assign(name: str, message: _ProtobufValue, found: _ScaleRun) -> None:
    value = _value(message)
    if value is not None and not name.startswith("sys/"):
        found.settings[name] = value


def _tags(name: str, message: _ProtobufValue, found: _ScaleRun) -> None:
    """Adds the tags of a set that was changed: the values that are added have the number 1."""
    if name != "sys/tags" or not isinstance(message, bytes):
        return
    for _, changes in fields(message):
        for _, change in fields(changes) if isinstance(changes, bytes) else ():
            found.tags += [as_text(v) for n, v in fields(change) if n == 1] if isinstance(change, bytes) else []


def _value(message: _ProtobufValue) -> float | int | str | None:
    """Returns a number, a truth value or a text; None for other kinds."""
    for number, value in fields(message) if isinstance(message, bytes) else ():
        if number == 1:
            return as_double(value)
        if number == 3:
            return as_signed(value)
        if number == 5:
            return bool(value)
        if number == 6:
            return as_text(value)
    return None
