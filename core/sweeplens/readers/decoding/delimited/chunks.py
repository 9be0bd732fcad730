"""Parses one chunk of a table into a frame with a column for each used column. Two parsers give equal results.

`parse_columns` uses Polars, for chunks whose cells all have the types of the first rows; it returns None for any other chunk.
`parse_rows` goes row by row, stops at a repeated header, and reports rows that cannot be read: also rows with fewer or more
cells than columns, whose values may belong to another column. Columns are named by their position in the header (``c0``, ``c1``
...). The axis is Int64 where every cell is a whole number, else Float64; times are Float64 or text; columns of runs and splits
are text; all others are numbers, with null for absent cells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import polars as pl
from msgspec import Struct, field

from sweeplens.counting import count_of
from sweeplens.readers.decoding.axis_names import label_of
from sweeplens.readers.decoding.delimited.cells import (
    BLANKS,
    TableHeader,
    TableRow,
    absent,
    cell_number,
    number,
    records,
    repeated_header,
)
from sweeplens.readers.decoding.values import first_of_ratio
from sweeplens.readers.protocol import Problem

__all__ = ["ColumnPlan", "TableChunk", "parse_columns", "parse_rows"]

_BLANKS, _MARGIN = re.compile(rb"[ \t]+"), re.compile(rb"(?m)^[ \t]+|[ \t\r]+$")
_WHOLE = re.compile(r"[-+]?\d{1,18}")
_EXACT_FLOAT = 2.0**53
_SAMPLED = 50
_EXCERPT = 80


class ColumnPlan(Struct, frozen=True):
    """The roles of a table's columns. A name that is "" or not in the header has no effect."""

    axis: str = ""  # its value is the step; "": the position of the row is the step
    keep_axis: bool = False  # the axis is a metric as well
    time: str = ""  # its value is the wall time
    run: str = ""  # its text is the run's id
    split: str = ""  # its text is a prefix of the row's metrics
    prefix: str = ""  # comes before every metric's name
    leave: frozenset[str] = frozenset()  # columns that are not read
    about: tuple[str, ...] = ()  # columns of text that describe the run
    is_cut_short: bool = False  # a row with too few cells lacks the last ones: this tool never omits others

    def roles(self, header: TableHeader) -> dict[str, int]:
        """Returns role -> position, for roles with a column in the header."""
        named = {
            "axis": self.axis,
            "time": self.time,
            "run": self.run,
            "split": self.split,
            **{f"about {n}": n for n in self.about},
        }
        return {role: header.names.index(name) for role, name in named.items() if name and name in header.names}

    def metrics(self, header: TableHeader) -> list[int]:
        """Returns the positions of the columns that are metrics, without the axis."""
        taken = set(self.roles(header).values())
        return [i for i, n in enumerate(header.names) if n and n not in self.leave and i not in taken]


class TableChunk(Struct):
    """A parsed chunk: the frame, counts of values that are not numbers by column, and rows that could not be read."""

    frame: pl.DataFrame
    lines: int  # lines of the file in it
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    problems: list[Problem] = field(default_factory=list[Problem])
    examples: dict[str, str] = field(default_factory=dict[str, str])  # of values that are not numbers, by column
    schema: dict[str, pl.DataType] | None = None  # the next chunk is likely to have the same
    names: tuple[str, ...] = ()  # of a repeated header after these lines


def parse_columns(
    data: bytes, header: TableHeader, plan: ColumnPlan, schema: dict[str, pl.DataType] | None = None
) -> TableChunk | None:
    """Parses a chunk with Polars; returns None where it needs `parse_rows`.

    ``schema``: that of the chunk before. Where it does not fit, the schema is taken from the chunk's own first rows.
    """
    if schema is not None and (chunk := _parse_with_schema(data, header, plan, schema)) is not None:
        return chunk
    used = {*plan.roles(header).values(), *plan.metrics(header)}
    return _parse_with_schema(data, header, plan, _schema(data, header, plan.roles(header), sorted(used)))


def _parse_with_schema(
    data: bytes, header: TableHeader, plan: ColumnPlan, schema: dict[str, pl.DataType]
) -> TableChunk | None:
    if len(header.separator.encode()) != 1:
        return None
    if header.separator == BLANKS:
        data = _BLANKS.sub(b" ", _MARGIN.sub(b"", data))
    if not data or (b"#" in data and (data.startswith(b"#") or b"\n#" in data)):
        return None
    roles, metrics = plan.roles(header), plan.metrics(header)
    used = [*sorted({*roles.values(), *metrics})]
    quoted = b'"' in data
    if quoted and not all(t.is_numeric() for t in schema.values()):  # quotes around a number do not change it
        data, quoted = _unquoted(data, header.separator.encode()), False
        if b'"' in data:
            return None
    if not any(schema[f"c{i}"].is_numeric() for i in used):
        return None
    try:
        frame = pl.read_csv(
            data, has_header=False, schema=schema, separator=header.separator,
            quote_char='"' if quoted else None, null_values="NA", raise_if_empty=False,
        )  # fmt: skip
    except pl.exceptions.PolarsError:
        return None
    if frame.width and frame.to_series(-1).null_count() and _is_ragged(data, header):
        return None
    if "axis" in roles and not _steps_are_exact(frame[f"c{roles['axis']}"]):
        return None
    return _numbered(pl.DataFrame([frame[f"c{i}"] for i in used]), header, roles, metrics, schema)


def _is_ragged(data: bytes, header: TableHeader) -> bool:
    """Whether some rows have fewer or more cells than columns. Polars would fill them without an error."""
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return data.count(header.separator.encode()) != lines * (len(header.names) - 1)


def _unquoted(data: bytes, separator: bytes) -> bytes:
    """Removes quotes around cells that do not need them; other quotes stay."""
    mark = re.escape(separator)
    simple = rb"(?m)(^|" + mark + rb')"([^"\r\n#' + mark + rb']*)"(?=' + mark + rb"|\r?\n)"
    return re.sub(simple, rb"\1\2", data)


def _schema(data: bytes, header: TableHeader, roles: dict[str, int], used: Sequence[int]) -> dict[str, pl.DataType]:
    """Returns a type for every column, from the chunk's first rows; text where they are not numbers."""
    end = 0
    for _ in range(_SAMPLED):
        end = data.find(b"\n", end) + 1 or len(data)
    rows = [r.cells for r in records(data[:end], header.separator, 1)]
    schema: dict[str, pl.DataType] = {f"c{i}": pl.String() for i in range(len(header.names))}
    texts = {i for role, i in roles.items() if role not in ("axis", "time")}
    for i in used:
        cells = [c for r in rows if i < len(r) and not absent(c := r[i].strip())]
        if i in texts:
            continue
        if i == roles.get("axis") and all(_WHOLE.fullmatch(c) for c in cells):
            schema[f"c{i}"] = pl.Int64()
        elif all(number(c) is not None for c in cells):
            schema[f"c{i}"] = pl.Float64()
    return schema


def _steps_are_exact(axis: pl.Series) -> bool:
    """Whether the axis holds whole numbers, or floats that are exactly the written numbers."""
    if axis.dtype == pl.Int64:
        return True
    return axis.dtype == pl.Float64 and bool((axis.fill_nan(None).abs() <= _EXACT_FLOAT).all())


def _numbered(
    frame: pl.DataFrame,
    header: TableHeader,
    roles: dict[str, int],
    metrics: Sequence[int],
    schema: dict[str, pl.DataType],
) -> TableChunk:
    """Converts text columns to numbers, value by value, and removes empty rows."""
    stripped = pl.DataFrame([_stripped(c) if c.dtype == pl.String else c for c in frame.get_columns()])
    sparse = all(c.null_count() for c in stripped.get_columns())
    kept = stripped.filter(pl.any_horizontal(pl.all().is_not_null())) if sparse else stripped
    chunk = TableChunk(kept, frame.height, schema=schema)
    texts = [c for c in kept.get_columns() if c.dtype == pl.String]
    for column in texts:
        position = int(column.name[1:])
        if position in metrics:
            chunk.frame = chunk.frame.with_columns(_as_numbers(column, header, position, chunk))
        elif position == roles.get("time"):
            chunk.frame = chunk.frame.with_columns(_time_column(column))
    return chunk


def _stripped(column: pl.Series) -> pl.Series:
    """Strips text, and replaces absent cells by null."""
    return _replaced(column, {v: s for v in column.unique().drop_nulls() if not absent(s := v.strip())}, pl.String())


def _as_numbers(column: pl.Series, header: TableHeader, position: int, chunk: TableChunk) -> pl.Series:
    """Converts text to numbers, each distinct text once; text that is not a number is counted."""
    name, separator = header.names[position], header.separator
    known = {v: n for v in column.unique().drop_nulls() if (n := _value(v, name, separator)) is not None}
    numbers = _replaced(column, known, pl.Float64())
    if lost := numbers.null_count() - column.null_count():
        chunk.non_scalar[name] = lost
        chunk.examples[name] = min(v for v in column.drop_nulls() if v not in known)
    return numbers


def _value(cell: str, name: str, separator: str) -> float | None:
    """Returns the number in a cell; of a counter like ``10/438`` the first one."""
    value = cell_number(cell, separator)
    return first_of_ratio(cell) if value is None and label_of(name.partition("/")[0]) else value


def _replaced(column: pl.Series, known: dict[str, Any], dtype: pl.DataType) -> pl.Series:
    if not known:
        return pl.Series(column.name, [None], dtype=dtype).new_from_index(0, len(column))
    return column.replace_strict(known, default=None, return_dtype=dtype)


def _time_column(column: pl.Series) -> pl.Series:
    """Returns times as numbers where all are numbers, else as text."""
    if column.dtype != pl.String:
        return column
    known = {v: n for v in column.unique().drop_nulls() if (n := number(v)) is not None}
    numbers = _replaced(column, known, pl.Float64())
    return numbers if numbers.null_count() == column.null_count() else column


def parse_rows(
    data: bytes, header: TableHeader, plan: ColumnPlan, *, file: str, line: int, torn: bool = False
) -> TableChunk:
    """Parses a chunk row by row, up to a repeated header with other names or another order.

    ``torn``: the last line has no newline. If it also has too few cells, its last cell is left out.
    """
    return _RowParser(header, plan, file).read(data, line, torn=torn)


class _RowParser:
    """Parses one chunk row by row."""

    def __init__(self, header: TableHeader, plan: ColumnPlan, file: str) -> None:
        self.header, self.file = header, file
        self.is_cut_short = plan.is_cut_short
        self.roles, self.metrics = plan.roles(header), frozenset(plan.metrics(header))
        self.used = sorted({*self.roles.values(), *self.metrics})
        self.axis = self.used.index(self.roles["axis"]) if "axis" in self.roles else None
        self.columns: dict[int, list[Any]] = {i: [] for i in self.used}
        self.non_scalar: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.examples: dict[str, str] = {}

    def read(self, data: bytes, line: int, *, torn: bool) -> TableChunk:
        needed = self.header.names[self.roles["axis"]] if "axis" in self.roles else ""
        for record in records(data, self.header.separator, line):
            cells = [c.strip() for c in record.cells]
            if record.error:
                self._problem(record, record.error)
            elif names := repeated_header(cells, self.header.names, needed):
                if names != self.header.names:
                    return TableChunk(
                        self._frame(),
                        record.line - line + 1,
                        self.non_scalar,
                        self.problems,
                        self.examples,
                        names=names,
                    )
            else:
                self._row(record, cells, torn=torn)
        return TableChunk(self._frame(), data.count(b"\n"), self.non_scalar, self.problems, self.examples)

    def _row(self, record: TableRow, cells: Sequence[str], *, torn: bool) -> None:
        n, width = len(cells), len(self.header.names)
        if torn and n < width:
            self._problem(record, "the last line is not complete", "torn")
            cells, n = cells[:-1], n - 1
        elif self.is_cut_short and n < width:
            self._problem(
                record, f"{count_of(n, 'cell')} under {count_of(width, 'column')}: the last ones are missing", "warning"
            )
        elif n < width or any(cells[width:]):
            self._problem(
                record,
                f"{count_of(n, 'cell')} under {count_of(width, 'column')}: they cannot be matched, so the row is left out",
            )
            return
        row: list[Any] = [cells[at] if at < n and not absent(cells[at]) else None for at in self.used]
        if all(c is None for c in row):
            return
        if self.axis is not None and row[self.axis] is not None:
            cell, row[self.axis] = row[self.axis], _step(row[self.axis], self.header.separator)
            if row[self.axis] is None:
                self._problem(
                    record, f"{self.header.names[self.used[self.axis]]} is {cell[:_EXCERPT]!r}, which is not a step"
                )
                return
        for i, cell in zip(self.used, row, strict=True):
            self.columns[i].append(self._number(i, cell) if cell is not None and i in self.metrics else cell)

    def _number(self, i: int, cell: str) -> float | None:
        value = _value(cell, self.header.names[i], self.header.separator)
        if value is None:
            self.non_scalar[self.header.names[i]] = self.non_scalar.get(self.header.names[i], 0) + 1
            self.examples.setdefault(self.header.names[i], cell)
        return value

    def _frame(self) -> pl.DataFrame:
        columns: list[pl.Series] = []
        for i, values in self.columns.items():
            if i == self.roles.get("axis"):
                whole = all(isinstance(v, int | None) for v in values)
                columns.append(pl.Series(f"c{i}", values, dtype=pl.Int64() if whole else pl.Float64(), strict=False))
            elif i in self.metrics:
                columns.append(pl.Series(f"c{i}", values, dtype=pl.Float64()))
            else:
                text = pl.Series(f"c{i}", values, dtype=pl.String())
                columns.append(_time_column(text) if i == self.roles.get("time") else text)
        return pl.DataFrame(columns)

    def _problem(
        self, record: TableRow, reason: str, kind: Literal["malformed", "torn", "warning"] = "malformed"
    ) -> None:
        excerpt = self.header.separator.join(record.cells)[:_EXCERPT]
        self.problems.append(Problem(self.file, reason, record.line, kind=kind, excerpt=excerpt))


def _step(cell: str, separator: str) -> int | float | None:
    """Converts a cell of the axis to a step, an int if it is written as one; NaN for a missing step."""
    if _WHOLE.fullmatch(cell):
        return int(cell)
    value = cell_number(cell, separator)
    if value is None:
        return first_of_ratio(cell)
    if math.isinf(value) or abs(value) >= 2.0**63:
        return None
    return value
