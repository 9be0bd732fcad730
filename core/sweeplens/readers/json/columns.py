"""Reads step-per-line JSON of many plain files at once, as columns. The result is the same as reading them row by row.

A file is plain when all its rows are flat, hold only numbers, null, true and false, have the same axis, and go forward along it,
with no two values of a metric at one step. `native` parses the rows that are certainly plain and returns the other lines. A line
that is not JSON is reported as a problem. Any other line (text, nesting, runs that share a file) means that its file must be
read row by row; such a file is left out of the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from io import BytesIO
from itertools import accumulate, islice
from typing import Any, cast

import msgspec
import polars as pl
from msgspec import Struct, field

from sweeplens.errors import SourceLimitError
from sweeplens.native.library import is_compiled
from sweeplens.native.step_table import StepTable
from sweeplens.readers.decoding.axis_names import is_pace_metric, rank_of
from sweeplens.readers.decoding.json_lines import JsonLines, decode
from sweeplens.readers.decoding.line_buffer import LineBuffer
from sweeplens.readers.decoding.row_keys import (
    NAME_KEYS,
    ROW_WORDS,
    SPLIT_KEYS,
    SPLIT_WORD_KEYS,
    TIME_KEYS,
    counter_of,
    exact_label,
)
from sweeplens.readers.json.points import repeating
from sweeplens.readers.protocol import FileStat, Problem, Resume
from sweeplens.safe_open import SourceFile, open_file

__all__ = ["FileRows", "JsonColumns", "read_columns", "read_row_columns"]

_MOST_CELLS = 1 << 27  # numbers in the table of one kind of files, missing ones included: 1 GB
_HEAD = 20  # one of so many first lines must be a row
_TIMES = frozenset(TIME_KEYS)
_BEGINNING = Resume(0)


class FileRows(Struct, frozen=True):
    """The result for one file: its rows, and where the next reading begins."""

    axis: str
    rows: int
    consumed: int  # bytes that need not be read again, and the number of the last line in them
    number: int
    non_scalar: dict[str, int]
    problems: tuple[Problem, ...] = ()


class JsonColumns(Struct, frozen=True):
    """Files of one kind as one frame: ``run`` (index of the member), ``seq``, ``step``, perhaps ``wall_time``, and the metrics."""

    frame: pl.DataFrame
    members: dict[int, FileRows]  # by index among the files that were asked for
    metrics: list[str]
    checked: list[str]  # metrics of which a step has one value only, unless rows repeat
    clashing: set[int]  # members that must be read row by row
    firsts: list[datetime | None] = field(default_factory=list[Any])
    lasts: list[datetime | None] = field(default_factory=list[Any])
    begins: list[int] = field(default_factory=list[int])  # the first step of each member
    steps: list[int] = field(default_factory=list[int])  # the last step of each member


class _File(Struct, frozen=True):
    """An open file, where reading begins, and its index among the files that were asked for."""

    stream: SourceFile | BytesIO
    path: str
    size: int
    begin: Resume
    index: int

    def load(self, buffer: LineBuffer) -> None:
        """Loads what is to be read of it into the buffer, from the beginning."""
        buffer.open(self.stream, self.begin.offset, self.size)


class _FileKind(Struct):
    """Files whose rows have the same axis and the same time keys."""

    axis: str
    times: frozenset[str]
    table: StepTable
    members: dict[int, FileRows] = field(default_factory=dict[int, FileRows])

    def allows(self, key: bytes) -> bool:
        """Whether a key of a later row is a plain metric: no better axis, no new time key, nothing about the run."""
        try:
            name = key.decode()
        except UnicodeDecodeError:
            return False
        return (
            not _is_as_certain(name, self.axis) and name not in ROW_WORDS and (name not in _TIMES or name in self.times)
        )


class _FileKinds(ExitStack):
    """The kinds of files found so far, each with its table; the tables are freed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[_FileKind] = []

    def of(self, lines: Iterable[bytes]) -> _FileKind | None:
        """Returns the kind of a file, from its first row; None where that is not a row of numbers with a step."""
        row = next((row for line in lines if (row := _flat_row(line))), None)
        axis = counter_of(row) if row else ""
        if not row or not axis or any(key != axis and _is_as_certain(key, axis) for key in row):
            return None
        times = _TIMES.intersection(row)
        known = next((kind for kind in reversed(self.all) if (kind.axis, kind.times) == (axis, times)), None)
        return known or self.new(axis, times)

    def new(self, axis: str, times: frozenset[str]) -> _FileKind:
        """Returns a new kind with an empty table."""
        self.all.append(_FileKind(axis, times, self.enter_context(StepTable(axis, most_cells=_MOST_CELLS))))
        return self.all[-1]


def read_columns(files: Sequence[FileStat], begins: Sequence[Resume] = ()) -> list[JsonColumns]:
    """Reads the files, each from its place in ``begins``, to their size in the walk. Leaves out files that are not plain, or are
    shorter now.
    """
    buffer = LineBuffer()
    with _FileKinds() as kinds:
        for index, file in enumerate(files):
            try:
                with open_file(file.path) as stream:
                    begin = begins[index] if begins else _BEGINNING
                    _read(_File(stream, file.path, file.size, begin, index), buffer, kinds)
            except (OSError, EOFError, SourceLimitError):
                continue  # reading it row by row reports the reason
        return _columns_of(kinds)


def read_row_columns(rows: Sequence[Any], path: str) -> JsonColumns | None:
    """Reads rows that are JSON objects as if each were a line; None where they are not plain."""
    if not is_compiled() or not all(isinstance(row, dict) for row in rows):
        return None
    try:
        text = msgspec.json.Encoder().encode_lines(rows)
    except (OverflowError, TypeError, ValueError):  # a number beyond 64 bits, or a lone surrogate
        return None
    with _FileKinds() as kinds:
        try:
            _read(_File(BytesIO(text), path, len(text), _BEGINNING, 0), LineBuffer(), kinds)
        except SourceLimitError:
            return None
        return next(iter(_columns_of(kinds)), None)


def _columns_of(kinds: _FileKinds) -> list[JsonColumns]:
    """Returns the columns of all files that are plain."""
    found = [c for kind in kinds.all if kind.members for c in _timed(_without_empty(kind.table.frame()), kind.members)]
    return [kept for columns in found if (kept := _going_forward(columns)).members]


def _read(file: _File, buffer: LineBuffer, kinds: _FileKinds) -> None:
    """Adds a file to the table of its kind, unless it is not plain."""
    file.load(buffer)
    kind = kinds.of(islice(buffer.lines(), _HEAD))
    if kind is None or _add_file(file, buffer, kind):
        return
    if kind.table.is_full and kind.members:  # its metrics differ from those of the files before it
        file.load(buffer)
        _add_file(file, buffer, kinds.new(kind.axis, kind.times))


def _add_file(file: _File, buffer: LineBuffer, kind: _FileKind) -> bool:
    """Adds a file to the table of a kind; returns False where it is not of that kind."""
    table = kind.table
    table.begin(len(kind.members))
    width = table.width
    rows = _file_rows(file, buffer, kind)
    if rows is None or not rows.rows or not all(kind.allows(table.key(c)) for c in range(width, table.width)):
        return False
    kind.members[file.index] = rows
    table.keep()
    return True


def _file_rows(file: _File, buffer: LineBuffer, kind: _FileKind) -> FileRows | None:
    """Parses all lines of a file; None where a line is valid JSON but not a plain row."""
    table, begin, path = kind.table, kind.table.rows, file.path
    consumed, number, problems, more = file.begin.offset, file.begin.lines, list[Problem](), True
    while more:
        parsed = table.read(buffer.text, buffer.held)
        if parsed is None:
            return None
        for doubt in parsed.doubts:
            line = JsonLines(buffer.copy(doubt.begin, doubt.end + 1), path, first_line=number + doubt.number + 1)
            if list(line):
                return None
            problems += line.problems
        consumed, number = consumed + parsed.bytes, number + parsed.lines
        buffer.drop(parsed.bytes)
        more = buffer.fill()
    rest = buffer.copy(0, buffer.held)
    tail = JsonLines(rest, path, first_line=number + 1)
    if list(tail) and ((parsed := table.read(rest + b"\n", len(rest) + 1)) is None or parsed.doubts):
        return None
    counted = _counted(table)
    if counted is None:
        return None
    all_problems = (*problems, *tail.problems)
    return FileRows(kind.axis, table.rows - begin, consumed + tail.consumed, tail.number, counted, all_problems)


def _counted(table: StepTable) -> dict[str, int] | None:
    """Returns how often each key of the file had no number; None where texts say more than that."""
    others = {key.decode("utf-8", "replace"): count for key, count in table.others().items()}
    texts = {key.decode("utf-8", "replace"): count for key, count in table.texts().items()}
    splits = [key for key in texts if key in SPLIT_KEYS]
    if not texts.keys().isdisjoint((*NAME_KEYS, *SPLIT_WORD_KEYS)) or (
        not _TIMES.isdisjoint(texts) and _count_time_keys(table) > 1
    ):
        return None  # a row may name a value or a split; of two times, each row decides which counts
    if any(key.decode("utf-8", "replace") in _TIMES for key in table.words()):
        return None  # words in the place of a time, as in "timestamp": "soon"
    counted = {key: count for key, count in texts.items() if key not in SPLIT_KEYS and key not in _TIMES}
    for key, count in others.items():
        counted[key] = counted.get(key, 0) + count
    return (
        None if splits and (counted or len(splits) > 1) else counted
    )  # names that are counted would get the split's prefix


def _count_time_keys(table: StepTable) -> int:
    return sum(table.key(column).decode("utf-8", "replace") in _TIMES for column in range(1, table.width))


def _is_as_certain(name: str, axis: str) -> bool:
    """Whether a key's name marks a counter at least as surely as the axis's name does."""
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
        found if ROW_WORDS.isdisjoint(found) and not any(isinstance(v, list | dict) for v in found.values()) else None
    )


def _timed(frame: pl.DataFrame, members: dict[int, FileRows]) -> list[JsonColumns]:
    """Adds the wall time. Where a key holds times in some rows and other numbers in others, each file is checked alone."""
    keys = [key for key in TIME_KEYS if key in frame.columns]
    key = next((key for key in keys if _times_in(frame[key]).any()), "")
    if not key:
        return [_with_ends(frame, members)]
    others = any(_times_in(frame[other]).any() for other in keys if other != key)
    if not _times_in(frame[key]).all() or (others and frame[key].null_count()):
        return _timed_alone(frame, members)
    return [_with_ends(frame.with_columns(_as_time(frame[key])).drop(key), members)]


def _times_in(values: pl.Series) -> pl.Series:
    """Returns, for each value, whether it is a time."""
    known = values.drop_nulls()
    return known.is_not_null() if known.dtype == pl.Datetime else known.is_finite() & (known >= 1e8)


def _timed_alone(frame: pl.DataFrame, members: dict[int, FileRows]) -> list[JsonColumns]:
    """Checks every file alone; a file in which a key holds times and other numbers is not plain."""
    if len(members) == 1:
        return []
    parts = zip(frame.partition_by("\0run", maintain_order=True), members.items(), strict=True)
    return [columns for part, (index, piece) in parts for columns in _timed(_alone(part), {index: piece})]


def _with_ends(frame: pl.DataFrame, members: dict[int, FileRows]) -> JsonColumns:
    """Returns the columns with the metrics' names, and the first and last step and time of each file."""
    named = _with_split_names(frame)
    frame = named.frame
    metrics = [c for c in frame.columns if not c.startswith("\0")]
    ends = [0, *accumulate(p.rows for p in members.values())]
    begins = frame["\0step"].gather(ends[:-1]).to_list()
    steps = frame["\0step"].gather([n - 1 for n in ends[1:]]).to_list()
    if "\0wall" not in frame.columns:
        nothing: list[datetime | None] = [None] * len(members)
        return JsonColumns(frame, members, metrics, named.checked, named.clashing, nothing, nothing, begins, steps)
    walls = frame.group_by("\0run", maintain_order=True)
    table = walls.agg(pl.col("\0wall").drop_nulls().first().alias("first"), pl.col("\0wall").max().alias("last"))
    firsts, lasts = table["first"].to_list(), table["last"].to_list()
    return JsonColumns(frame, members, metrics, named.checked, named.clashing, firsts, lasts, begins, steps)


class _SplitNames(Struct, frozen=True):
    """Columns whose metrics have the names that their rows' split gives them."""

    frame: pl.DataFrame
    checked: list[str]  # metrics of which a step has one value only
    clashing: set[int]  # the members with a row in which two keys have the same name then


def _with_split_names(frame: pl.DataFrame) -> _SplitNames:
    """Names the metrics. Texts that name no split are left out: they are counted already."""
    split = next((c for c in frame.columns if c in SPLIT_KEYS and frame[c].dtype == pl.String), "")
    metrics = [c for c in frame.columns if not c.startswith("\0") and frame[c].dtype == pl.Float64]
    index = [c for c in frame.columns if c.startswith("\0")]
    checked = [m for m in metrics if not exact_label(m) and not is_pace_metric(m)]
    if not split:
        return _SplitNames(frame.select(*index, *metrics), checked, set())
    words = [None, *frame[split].drop_nulls().unique(maintain_order=True)]
    keys: dict[str, list[tuple[str | None, str]]] = {}
    for word in words:
        for metric in metrics:
            keys.setdefault(_split_name(word, metric), []).append((word, metric))
    values = {name: [_of_split(split, *key) for key in found] for name, found in keys.items()}
    twice = [pl.sum_horizontal(v.is_not_null() for v in found) > 1 for found in values.values() if len(found) > 1]
    clashing = set(frame.filter(pl.any_horizontal(twice))["\0run"].to_list()) if twice else set[int]()
    table = _without_empty(frame.select(*index, *(pl.coalesce(found).alias(name) for name, found in values.items())))
    return _SplitNames(table, [n for n in table.columns if n in keys and keys[n][0][1] in checked], clashing)


def _of_split(split: str, word: str | None, metric: str) -> pl.Expr:
    rows = pl.col(split).is_null() if word is None else pl.col(split) == word
    return pl.when(rows).then(pl.col(metric))


def _split_name(word: str | None, metric: str) -> str:
    return metric if word is None or metric.startswith(f"{word}/") else f"{word}/{metric}"


def _going_forward(columns: JsonColumns) -> JsonColumns:
    """Returns the columns without the members whose axis can only be found from all rows together."""
    dropped = columns.clashing | repeating(columns, columns.checked)
    dropped |= {
        p
        for p, member in enumerate(columns.members.values())
        if member.rows > 1 and columns.begins[p] == columns.steps[p]
    }
    if not dropped:
        return columns
    places = [p for p in range(len(columns.members)) if p not in dropped]
    run = columns.frame["\0run"]
    kept = columns.frame.filter(run.is_in(places))
    new = pl.Series(places, dtype=pl.UInt32).search_sorted(kept["\0run"]).cast(pl.UInt32).set_sorted().alias("\0run")
    members = dict(m for p, m in enumerate(columns.members.items()) if p not in dropped)
    frame = _without_empty(kept.with_columns(new))
    firsts, lasts = ([values[p] for p in places] for values in (columns.firsts, columns.lasts))
    begins, steps = ([values[p] for p in places] for values in (columns.begins, columns.steps))
    held = set(frame.columns)
    metrics = [m for m in columns.metrics if m in held]
    return JsonColumns(frame, members, metrics, columns.checked, set(), firsts, lasts, begins, steps)


def _alone(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the frame of one file, as the only member."""
    return _without_empty(frame).with_columns(pl.lit(0, pl.UInt32).alias("\0run"))


def _without_empty(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the frame without columns that hold no value."""
    return frame[[name for name, n in zip(frame.columns, frame.null_count().row(0), strict=True) if n < frame.height]]


def _as_time(values: pl.Series) -> pl.Series:
    """Converts seconds, milli-, micro- or nanoseconds to times, by their size as in `values.as_time`.

    It uses numpy, which divides. Polars multiplies by the inverse, which sometimes gives another microsecond.
    """
    if values.dtype == pl.Datetime:
        return values.alias("\0wall")
    import numpy as np

    seconds = values.fill_null(0.0).to_numpy()
    while (seconds > 1e11).any():
        seconds = np.where(seconds > 1e11, seconds / 1000.0, seconds)
    whole = np.floor(seconds)
    micros = whole.astype(np.int64) * 1_000_000 + np.rint((seconds - whole) * 1e6).astype(np.int64)
    walls = pl.Series("\0wall", micros).cast(pl.Datetime("us", "UTC"))
    return (
        pl.select(pl.when(values.is_not_null()).then(walls)).to_series().alias("\0wall")
        if values.null_count()
        else walls
    )
