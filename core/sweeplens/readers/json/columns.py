"""Step-per-line JSON of many files at once, as columns: the way of plain files, with the same result as row by row.

A file is plain when all its rows are flat, hold numbers, null, true and false only, stand at one axis, and go forward along it
so that no two values of a metric are at one step. `native` reads rows
of which this is certain, and says which lines are not such rows: those that are not JSON are reported, and any other makes its
file one that must be read row by row (text, nesting, runs that share a file). Such a file is in none of the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import accumulate, islice
from typing import Any, cast

import msgspec
import polars as pl
from msgspec import Struct, field

from sweeplens.errors import SourceLimitError
from sweeplens.native.step_table import StepTable
from sweeplens.readers.decoding.axis_names import is_aside, rank_of
from sweeplens.readers.decoding.json_lines import JsonLines, decode
from sweeplens.readers.decoding.line_buffer import LineBuffer
from sweeplens.readers.decoding.rows import ROW_WORDS, TIME_KEYS, counter_of, exact_label
from sweeplens.readers.json.points import repeating
from sweeplens.readers.protocol import FileStat, Problem, Resume
from sweeplens.safe_open import SourceFile, open_file

__all__ = ["FileRows", "JsonColumns", "read_columns"]

_MOST_CELLS = 1 << 27  # numbers of one kind of files, those included that some rows have not: 1 GB
_HEAD = 20  # lines of which one must be a row
_TIMES = frozenset(TIME_KEYS)
_BEGIN = Resume(0)


class FileRows(Struct, frozen=True):
    """One file: how many rows it gave, and what was noticed on the way."""

    axis: str
    rows: int
    consumed: int  # bytes that need not be looked at again, and the lines in them
    number: int
    non_scalar: dict[str, int]
    problems: tuple[Problem, ...] = ()


class JsonColumns(Struct, frozen=True):
    """Pieces of one kind as one frame: ``run`` (index of the piece), ``seq``, ``step``, perhaps ``wall_time``, and the metrics."""

    frame: pl.DataFrame
    members: dict[int, FileRows]  # by the index of their file in what was asked for
    metrics: list[str]
    firsts: list[datetime | None] = field(default_factory=list[Any])
    lasts: list[datetime | None] = field(default_factory=list[Any])
    begins: list[int] = field(default_factory=list[int])  # the first step of each member
    steps: list[int] = field(default_factory=list[int])  # the last step of each member


class _File(Struct, frozen=True):
    """A file that is open, from where it is read, and its place in what was asked for."""

    stream: SourceFile
    stat: FileStat
    begin: Resume
    index: int

    def into(self, room: LineBuffer) -> None:
        """What is to be read of it, from its beginning, into the room."""
        room.open(self.stream, self.begin.offset, self.stat.size)


class _FileKind(Struct):
    """Files whose rows stand at one axis and have the same keys for the time."""

    axis: str
    times: frozenset[str]
    table: StepTable
    members: dict[int, FileRows] = field(default_factory=dict[int, FileRows])

    def allows(self, key: bytes) -> bool:
        """Whether a key that came later leaves everything as it is: no better axis, no time, nothing about the run."""
        try:
            name = key.decode()
        except UnicodeDecodeError:
            return False
        return not _rivals(name, self.axis) and name not in ROW_WORDS and (name not in _TIMES or name in self.times)


class _FileKinds(ExitStack):
    """The kinds that were met, each with its table, which is freed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[_FileKind] = []

    def of(self, lines: Iterable[bytes]) -> _FileKind | None:
        """The kind of a file by its first row; None where that is no row of numbers at a step."""
        row = next((row for line in lines if (row := _flat_row(line))), None)
        axis = counter_of(row) if row else ""
        if not row or not axis or any(key != axis and _rivals(key, axis) for key in row):
            return None
        times = _TIMES.intersection(row)
        known = next((kind for kind in reversed(self.all) if (kind.axis, kind.times) == (axis, times)), None)
        return known or self.new(axis, times)

    def new(self, axis: str, times: frozenset[str]) -> _FileKind:
        """An empty table for files of this kind from now on."""
        self.all.append(_FileKind(axis, times, self.enter_context(StepTable(axis, most_cells=_MOST_CELLS))))
        return self.all[-1]


def read_columns(files: Sequence[FileStat], begin: Resume = _BEGIN) -> list[JsonColumns]:
    """The files from ``begin`` on, as long as they were when they were seen; one that is not plain, or shorter now, is in none."""
    room = LineBuffer()
    with _FileKinds() as kinds:
        for index, file in enumerate(files):
            try:
                with open_file(file.path) as stream:
                    _read(_File(stream, file, begin, index), room, kinds)
            except (OSError, EOFError, SourceLimitError):
                continue  # whoever reads it alone says why
        found = [c for kind in kinds.all if kind.members for c in _timed(_held(kind.table.frame()), kind.members)]
    return [kept for columns in found if (kept := _forward(columns)).members]


def _read(file: _File, room: LineBuffer, kinds: _FileKinds) -> None:
    """A file into the table of its kind, unless it is not plain."""
    file.into(room)
    kind = kinds.of(islice(room.lines(), _HEAD))
    if kind is None or _taken(file, room, kind):
        return
    if kind.table.is_full and kind.members:  # its metrics are others than those of the files before it
        file.into(room)
        _taken(file, room, kinds.new(kind.axis, kind.times))


def _taken(file: _File, room: LineBuffer, kind: _FileKind) -> bool:
    """Whether a file is of the kind and in its table now."""
    table = kind.table
    table.begin(len(kind.members))
    width = table.width
    piece = _piece(file, room, kind)
    if piece is None or not piece.rows or not all(kind.allows(table.key(c)) for c in range(width, table.width)):
        return False
    kind.members[file.index] = piece
    table.keep()
    return True


def _piece(file: _File, room: LineBuffer, kind: _FileKind) -> FileRows | None:
    """All lines of a file; None where one is neither a row of numbers nor broken."""
    table, begin, path = kind.table, kind.table.rows, file.stat.path
    consumed, number, problems, more = file.begin.offset, file.begin.lines, list[Problem](), True
    while more:
        taken = table.read(room.text, room.held)
        if taken is None:
            return None
        for doubt in taken.doubts:
            line = JsonLines(room.cut(doubt.begin, doubt.end + 1), path, first_line=number + doubt.number + 1)
            if list(line):
                return None
            problems += line.problems
        consumed, number = consumed + taken.bytes, number + taken.lines
        room.drop(taken.bytes)
        more = room.fill()
    rest = room.cut(0, room.held)
    tail = JsonLines(rest, path, first_line=number + 1)
    if list(tail) and ((taken := table.read(rest + b"\n", len(rest) + 1)) is None or taken.doubts):
        return None
    others = {key.decode("utf-8", "replace"): count for key, count in table.others().items()}
    told = (*problems, *tail.problems)
    return FileRows(kind.axis, table.rows - begin, consumed + tail.consumed, tail.number, others, told)


def _rivals(name: str, axis: str) -> bool:
    """Whether a key is at least as sure a counter as the axis is, by name."""
    label = exact_label(name)
    return bool(label) and rank_of(label) <= rank_of(exact_label(axis))


def _flat_row(line: bytes) -> dict[str, object] | None:
    try:
        row = decode(line)
    except (ValueError, msgspec.DecodeError):
        return None
    if not isinstance(row, dict):
        return None
    found = cast("dict[str, object]", row)
    return (
        found
        if ROW_WORDS.isdisjoint(found) and not any(isinstance(v, str | list | dict) for v in found.values())
        else None
    )


def _timed(frame: pl.DataFrame, members: dict[int, FileRows]) -> list[JsonColumns]:
    """With the wall time found. Where only some rows have one, each file is looked at by itself."""
    for key in (k for k in TIME_KEYS if k in frame.columns):
        times = pl.col(key).is_finite() & (pl.col(key) >= 1e8)
        some, every = frame.select(times.any(), (times.all() & (pl.col(key).null_count() == 0)).alias("every")).row(0)
        if every:
            return [_ended(frame.with_columns(_as_time(frame[key])).drop(key), members)]
        if some:
            return _each(frame, members)
    return [_ended(frame, members)]


def _each(frame: pl.DataFrame, members: dict[int, FileRows]) -> list[JsonColumns]:
    """Every file by itself; one that has a time in some rows only is not plain."""
    if len(members) == 1:
        return []
    parts = zip(frame.partition_by("\0run", maintain_order=True), members.items(), strict=True)
    return [columns for part, (index, piece) in parts for columns in _timed(_alone(part), {index: piece})]


def _ended(frame: pl.DataFrame, members: dict[int, FileRows]) -> JsonColumns:
    """With the metrics named, and the last step, the first time and the latest of each file."""
    metrics = [c for c in frame.columns if not c.startswith("\0")]
    ends = [0, *accumulate(p.rows for p in members.values())]
    begins = frame["\0step"].gather(ends[:-1]).to_list()
    steps = frame["\0step"].gather([n - 1 for n in ends[1:]]).to_list()
    if "\0wall" not in frame.columns:
        nothing: list[datetime | None] = [None] * len(members)
        return JsonColumns(frame, members, metrics, nothing, nothing, begins, steps)
    walls = frame.group_by("\0run", maintain_order=True)
    table = walls.agg(pl.col("\0wall").first().alias("first"), pl.col("\0wall").max().alias("last"))
    return JsonColumns(frame, members, metrics, table["first"].to_list(), table["last"].to_list(), begins, steps)


def _forward(columns: JsonColumns) -> JsonColumns:
    """The columns without the members whose steps all rows together must tell."""
    told = [m for m in columns.metrics if not exact_label(m) and not is_aside(m)]
    lost = repeating(columns, told)
    lost |= {
        p
        for p, piece in enumerate(columns.members.values())
        if piece.rows > 1 and columns.begins[p] == columns.steps[p]
    }
    if not lost:
        return columns
    places = [p for p in range(len(columns.members)) if p not in lost]
    run = columns.frame["\0run"]
    kept = columns.frame.filter(run.is_in(places))
    new = pl.Series(places, dtype=pl.UInt32).search_sorted(kept["\0run"]).cast(pl.UInt32).set_sorted().alias("\0run")
    members = dict(m for p, m in enumerate(columns.members.items()) if p not in lost)
    held = _held(kept.with_columns(new))
    firsts, lasts = ([values[p] for p in places] for values in (columns.firsts, columns.lasts))
    begins, steps = ([values[p] for p in places] for values in (columns.begins, columns.steps))
    metrics = [m for m in columns.metrics if m in held.columns]
    return JsonColumns(held, members, metrics, firsts, lasts, begins, steps)


def _alone(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of one file."""
    return _held(frame).with_columns(pl.lit(0, pl.UInt32).alias("\0run"))


def _held(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns that have something in them."""
    return frame[[name for name, n in zip(frame.columns, frame.null_count().row(0), strict=True) if n < frame.height]]


def _as_time(values: pl.Series) -> pl.Series:
    """Seconds, milli-, micro- or nanoseconds as `values.as_time` tells them apart, to the microsecond.

    By numpy, which divides: Polars multiplies by the inverse, and so ends in another microsecond now and then.
    """
    import numpy as np

    seconds = values.to_numpy()
    while (seconds > 1e11).any():
        seconds = np.where(seconds > 1e11, seconds / 1000.0, seconds)
    whole = np.floor(seconds)
    micros = whole.astype(np.int64) * 1_000_000 + np.rint((seconds - whole) * 1e6).astype(np.int64)
    return pl.Series("\0wall", micros).cast(pl.Datetime("us", "UTC"))
