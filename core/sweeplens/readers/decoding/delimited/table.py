"""Reads delimited text as points in logged order. All CSV and TSV formats use it.

A format gives the roles of the columns (`ColumnPlan`), and `read_table` reads the rows. `cells` has the grammar, `chunks` the two
parsers (Polars for clean chunks, row by row for others). The file is read in chunks of whole lines, so memory holds the points
and one chunk. A last line without a newline is read, but then the table is read again whole when it grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

import numpy as np
import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import ANY_SEPARATOR, MAX_RECORD_LINES, TableHeader, header_of, number
from sweeplens.readers.decoding.delimited.chunks import ColumnPlan, TableChunk, parse_columns, parse_rows
from sweeplens.readers.decoding.values import as_time, empty_reading_points, micros_of
from sweeplens.readers.protocol import READING_SCHEMA, Problem, Resume
from sweeplens.source_limits import LINE_BYTES, MAX_POINTS

__all__ = ["ColumnPlan", "TableReading", "read_header", "read_table"]

CHUNK_BYTES = 3 << 20  # larger chunks cost page faults, smaller ones more calls
_WINDOW = 16 << 10
MAX_HEADER_BYTES = 4 << 20
_TIME = READING_SCHEMA["wall_time"]
_MAX_PROBLEMS = 1000
_QUOTE = ord('"')


class TableReading(Struct):
    """The result of reading a table."""

    points: pl.DataFrame = field(default_factory=empty_reading_points)
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    problems: list[Problem] = field(default_factory=list[Problem])
    resume: Resume | None = None
    rows: int = 0  # rows with any value, with those of earlier readings
    added: int = 0  # points
    last_step: int = 0
    rises: bool = True  # whether the steps always rise
    is_fractional: bool = False  # whether steps were rounded down
    examples: dict[str, str] = field(default_factory=dict[str, str])  # of values that are not numbers, by column
    about: dict[str, dict[str, set[str]]] = field(default_factory=dict[str, Any])  # run -> column -> its texts
    _same: dict[tuple[str, str], pl.Series] = field(default_factory=dict[tuple[str, str], pl.Series])

    def same(self, name: str, text: str, height: int) -> pl.Series:
        """Returns a column with the same text in every row. The longest one is cached and shared by the chunks."""
        known = self._same.get((name, text))
        if known is None or len(known) < height:
            known = self._same[name, text] = pl.Series(name, [text]).new_from_index(0, height)
        return known.head(height)


def read_header(path: str, separators: str = ANY_SEPARATOR) -> TableHeader | None:
    """Returns the header of a file, of any length; None where it has none."""
    with compression.reading(path) as stream:
        head = b""
        while len(head) < MAX_HEADER_BYTES and (line := stream.readline(MAX_HEADER_BYTES - len(head))):
            head += line
            if line.strip() and not line.lstrip().startswith(b"#"):
                return header_of(head + stream.readline(MAX_HEADER_BYTES), separators)
    return None


def read_table(
    path: str, header: TableHeader, plan: ColumnPlan, run_id: str, resume: Resume | None = None
) -> TableReading:
    """Reads all rows of a table, or those after an earlier reading. Raises FormatError where the header has changed."""
    state: dict[str, Any] = dict(resume.state) if resume else {}
    if resume and state.get("header") != header.key:
        raise FormatError("the table has another header than at its last reading: the file was replaced")
    part = replace(header, names=tuple(cast("list[str]", state.get("order") or header.names)))
    table = TableReading(rows=int(state.get("rows") or 0), last_step=int(state.get("last_step") or 0))
    table.non_scalar = dict(cast("dict[str, int]", state.get("non_scalar") or {}))
    offset, line = (resume.offset, resume.lines) if resume else (header.start, header.lines)
    frames: list[pl.DataFrame] = []
    torn, schema = False, None
    with compression.reading(path) as stream:
        stream.seek(offset) if resume else stream.read(offset)  # a compressed file cannot seek
        for data in _chunks(stream, plain=not compression.is_compressed(path)):
            torn = not data.endswith(b"\n")
            if data.isspace() and not torn:  # very many blank lines would take minutes one by one
                offset, line = offset + len(data), line + data.count(b"\n")
                continue
            rest = data
            while rest:
                chunk = None if torn else parse_columns(rest, part, plan, schema)
                schema = chunk.schema if chunk else None
                chunk = chunk or parse_rows(rest, part, plan, file=path, line=line + 1, torn=torn)
                frames += _counted(_points(chunk, part, plan, run_id, table), table)
                line += chunk.lines
                _add(table, chunk)
                rest = _after(rest, chunk.lines) if chunk.names else b""
                part = replace(part, names=chunk.names or part.names)
            offset += len(data)
    table.points = pl.concat(frames, rechunk=False) if frames else empty_reading_points()
    if not torn and compression.keeps_places(path):
        kept = {"header": header.key, "order": list(part.names), "rows": table.rows, "last_step": table.last_step}
        table.resume = Resume(offset, {**kept, "non_scalar": table.non_scalar}, line)
    return table


def _after(data: bytes, lines: int) -> bytes:
    """Returns the bytes after so many lines."""
    at = 0
    for _ in range(lines):
        at = data.find(b"\n", at) + 1
    return data[at:]


def _chunks(stream: IO[bytes], *, plain: bool) -> Iterator[bytes]:
    """Yields the stream in pieces of whole records; the last one may lack its newline."""
    while data := _piece(stream, plain=plain):
        if not data.endswith(b"\n"):
            data += _line_end(stream)
        if b'"' in data:
            data += _until_closed(data, stream)
        end = data.rfind(b"\n") + 1
        if 0 < end < len(data):
            yield data[:end]
            data = data[end:]
        yield data


def _line_end(stream: IO[bytes]) -> bytes:
    """Returns the rest of the line in which a piece ends."""
    rest = stream.readline(LINE_BYTES)
    if len(rest) == LINE_BYTES:
        raise SourceLimitError(f"a line of more than {LINE_BYTES >> 20} MB: not read")
    return rest


def _piece(stream: IO[bytes], *, plain: bool) -> bytes:
    """Returns the next bytes; of a plain file up to the end of a line, which avoids a copy."""
    if plain:
        at, window = stream.tell(), min(_WINDOW, CHUNK_BYTES)
        stream.seek(at + CHUNK_BYTES - window)
        end = stream.read(window).rfind(b"\n") + 1
        stream.seek(at)
        if end:
            return stream.read(CHUNK_BYTES - window + end)
    return stream.read(CHUNK_BYTES)


def _until_closed(data: bytes, stream: IO[bytes]) -> bytes:
    """Returns the lines of the stream until the open quote of the piece is closed."""
    quotes, more = int(np.count_nonzero(np.frombuffer(data, np.uint8) == _QUOTE)), b""  # bytes.count is slow for many
    for _ in range(MAX_RECORD_LINES):
        if quotes % 2 == 0 or not (line := stream.readline(CHUNK_BYTES)):
            break
        quotes, more = quotes + line.count(b'"'), more + line
    return more


def _counted(frames: list[pl.DataFrame], table: TableReading) -> list[pl.DataFrame]:
    """Counts the points of the frames. Raises SourceLimitError where the table has too many."""
    table.added += sum(f.height for f in frames)
    if table.added > MAX_POINTS:
        raise SourceLimitError(f"more than {MAX_POINTS:,} points in one file: not read")
    return frames


def _add(table: TableReading, chunk: TableChunk) -> None:
    for name, n in chunk.non_scalar.items():
        table.non_scalar[name] = table.non_scalar.get(name, 0) + n
    table.examples = {**chunk.examples, **table.examples}
    remaining = _MAX_PROBLEMS - len(table.problems)
    if remaining > 0:
        table.problems += chunk.problems[:remaining]


def _points(
    chunk: TableChunk, header: TableHeader, plan: ColumnPlan, run_id: str, table: TableReading
) -> list[pl.DataFrame]:
    """Returns the chunk's points, a frame for each column, and updates the table's row count and last step."""
    frame, roles = chunk.frame, plan.roles(header)
    if not frame.height:
        return []
    if plan.about:
        _collect_texts(frame, roles, plan, run_id, table)
    axis = frame[f"c{roles['axis']}"] if "axis" in roles else None
    steps = _steps(axis, frame.height, table)
    common = [
        _text_or(frame, roles.get("run"), table.same("run_id", run_id, frame.height)),
        steps.alias("step"),
        _wall(frame, roles.get("time"), header, chunk.non_scalar),
    ]
    if "split" not in roles:
        columns = _metrics(frame, axis, header, plan)
        return _unpivoted(common, [(table.same("metric", plan.prefix + n, frame.height), v) for n, v in columns])
    base = pl.DataFrame(common)
    split = frame[f"c{roles['split']}"]
    columns = _metrics(frame, axis, header, plan)
    return [f for name, values in columns if (f := _column(base, plan.prefix, name, values, split)).height]


def _collect_texts(
    frame: pl.DataFrame, roles: dict[str, int], plan: ColumnPlan, run_id: str, table: TableReading
) -> None:
    """Adds the texts of the columns about runs in these rows to the table."""
    runs = _text_or(frame, roles.get("run"), table.same("run_id", run_id, frame.height)).alias("run")
    for name in (n for n in plan.about if f"about {n}" in roles):
        texts = pl.DataFrame([runs, frame[f"c{roles[f'about {name}']}"].alias("text")]).unique().drop_nulls()
        for run, text in texts.iter_rows():
            table.about.setdefault(run, {}).setdefault(name, set()).add(text)


def _metrics(
    frame: pl.DataFrame, axis: pl.Series | None, header: TableHeader, plan: ColumnPlan
) -> list[tuple[str, pl.Series]]:
    """Returns names and values of the columns that become points."""
    columns = [(header.names[i], frame[f"c{i}"]) for i in plan.metrics(header)]
    if axis is not None and (plan.keep_axis or _is_fractional(axis)):
        columns.append((plan.axis, axis.cast(pl.Float64)))
    return columns


def _unpivoted(common: Sequence[pl.Series], columns: list[tuple[pl.Series, pl.Series]]) -> list[pl.DataFrame]:
    """Returns the points of each column of names and values, without absent cells."""
    run, step, wall = common
    found: list[pl.DataFrame] = []
    for metric, values in columns:
        points = pl.DataFrame([run, metric, step, values.alias("value"), wall])
        found.append(points.filter(values.is_not_null()) if values.null_count() else points)
    return [f for f in found if f.height]


def _steps(axis: pl.Series | None, height: int, table: TableReading) -> pl.Series:
    """Returns the step of each row: the axis rounded down, the last step where it is absent, or the row's position."""
    if axis is None:
        steps = pl.int_range(table.rows, table.rows + height, dtype=pl.Int64, eager=True)
    else:
        whole = axis if axis.dtype == pl.Int64 else axis.fill_nan(None).floor().cast(pl.Int64)
        steps = whole.fill_null(strategy="forward").fill_null(table.last_step) if whole.null_count() else whole
        begins = not table.rows or int(steps[0]) > table.last_step
        table.rises = table.rises and not whole.null_count() and begins and bool((steps.diff().drop_nulls() > 0).all())
        table.is_fractional = table.is_fractional or _is_fractional(axis)
    table.rows += height
    table.last_step = int(steps[-1])
    return steps


def _is_fractional(axis: pl.Series) -> bool:
    return axis.dtype == pl.Float64 and bool((axis.fill_nan(None) != axis.fill_nan(None).floor()).any())


def _text_or(frame: pl.DataFrame, position: int | None, otherwise: pl.Series) -> pl.Series:
    if position is None:
        return otherwise
    found = frame[f"c{position}"]
    return otherwise.zip_with(found.is_null(), found)


def _wall(frame: pl.DataFrame, position: int | None, header: TableHeader, non_scalar: dict[str, int]) -> pl.Series:
    """Returns the rows' times; values that are not times are counted under their column's name."""
    if position is None:
        return pl.Series("wall_time", [None], dtype=_TIME).new_from_index(0, frame.height)
    raw = frame[f"c{position}"]
    times = _numeric_times(raw) if raw.dtype == pl.Float64 else _text_times(raw)
    if lost := times.null_count() - raw.null_count():
        non_scalar[header.names[position]] = non_scalar.get(header.names[position], 0) + lost
    return times.alias("wall_time")


def _numeric_times(raw: pl.Series) -> pl.Series:
    """Converts seconds, milli-, micro- or nanoseconds since 1970, by their size as in `values.as_time`."""
    seconds = pl.col("t")
    for _ in range(3):
        seconds = pl.when(seconds > 1e11).then(seconds / 1000.0).otherwise(seconds)
    micros = pl.when(seconds.is_between(1e8, 1e11)).then((seconds * 1e6).round()).cast(pl.Int64, strict=False)
    return pl.DataFrame({"t": raw}).select(micros.cast(_TIME)).to_series()


def _text_times(raw: pl.Series) -> pl.Series:
    known: dict[str, int] = {}
    for text in raw.unique().drop_nulls():
        value = number(text)
        time = (None if value is None else as_time(value)) or as_time(text)
        if time is not None:
            known[text] = micros_of(time)
    if not known:
        return pl.Series("wall_time", [None], dtype=_TIME).new_from_index(0, len(raw))
    return raw.replace_strict(known, default=None, return_dtype=pl.Int64).cast(_TIME)


def _column(base: pl.DataFrame, prefix: str, name: str, values: pl.Series, split: pl.Series) -> pl.DataFrame:
    """Returns the points of one column, without absent cells."""
    own = pl.when(split.is_null() | pl.lit(name).str.starts_with(pl.lit(split + "/"))).then(pl.lit(name))
    metric = pl.lit(prefix) + own.otherwise(split + "/" + name)
    frame = base.select("run_id", metric.alias("metric"), "step", pl.lit(values).alias("value"), "wall_time")
    return frame.filter(pl.col("value").is_not_null()) if values.null_count() else frame
