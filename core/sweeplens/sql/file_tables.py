"""Reads a table from the bytes of a file, with the types that its cells have: CSV, JSON rows, Markdown tables, Parquet.

    read_table(data, name)     -> the table; "results.md#2" is the second table of a text
    markdown_tables(text)      -> (header, rows) of each pipe table in a text

The grammar of cells is that of logs (`readers.decoding.delimited.cells`): empty and NA are missing, ``50%`` is a number.
Raises FormatError where a file holds no table.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import cast

import polars as pl

from sweeplens.cancellation import checkpoint
from sweeplens.errors import FormatError
from sweeplens.models import flatten
from sweeplens.plain_data import plain_text
from sweeplens.readers.decoding.column_bounds import check_columns
from sweeplens.readers.decoding.delimited.cells import absent, cell_number, header_of, records, unique_names
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.store.runs_frame import typed_column

__all__ = ["markdown_tables", "read_table", "row_limit"]

MOST_ROWS = 100_000
_MOST_COLUMNS = 2000
_MOST_CELLS = 2_000_000
_COLUMNAR = {".parquet": pl.read_parquet, ".pq": pl.read_parquet, ".feather": pl.read_ipc, ".arrow": pl.read_ipc}
_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?")  # of a line without blanks around it: linear time
_MARKS = re.compile(r"\*\*|__|`")
_INT64 = 1 << 63


def read_table(data: bytes, name: str) -> pl.DataFrame:
    """Returns the table in a file of this name, at most `row_limit` rows. Raises FormatError."""
    number = int(found[1][:9]) if (found := re.search(r"#(\d+)$", name)) else 1  # no text has so many
    suffix = PurePath(name.rpartition("#")[0] if found else name).suffix.lower()
    if suffix in _COLUMNAR:
        return _columnar(data, suffix, name)
    if suffix == ".json":
        frame = _from_rows(_json_rows(data, name))
    elif suffix in (".jsonl", ".ndjson"):
        frame = _from_rows(_json_lines(data, name))
    else:
        frame = _from_text(data, name, number, delimited=suffix not in (".md", ".txt"))
    return frame


def row_limit(columns: int) -> int:
    """Returns how many rows of a table with so many columns are read: its cells are limited too, since rows may be short."""
    return min(MOST_ROWS, _MOST_CELLS // max(columns, 1))


def _columnar(data: bytes, suffix: str, name: str) -> pl.DataFrame:
    try:
        check_columns(data)
        frame = _COLUMNAR[suffix](io.BytesIO(data))
    except (FormatError, pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise FormatError(f"{name!r} cannot be read: {str(error).splitlines()[0][:200]}") from error
    frame = frame.head(row_limit(frame.width))
    return pl.DataFrame([flat for column in frame.get_columns() for flat in _flat(column)])


def _flat(column: pl.Series) -> Iterator[pl.Series]:
    """Yields a column without nested types: the fields of a structure under dotted names, lists as JSON, as in rows of JSON."""
    name = column.name
    if isinstance(column.dtype, pl.Struct):
        for field in column.struct.fields:
            yield from _flat(column.struct.field(field).alias(f"{name}.{field}"))
    elif column.dtype.is_nested():
        yield pl.Series(name, [_cell(value) for value in column], dtype=pl.String)
    else:
        yield column


def _from_text(data: bytes, name: str, number: int, *, delimited: bool) -> pl.DataFrame:
    tables = [] if delimited else markdown_tables(data.decode("utf-8", "replace"))
    if tables or not delimited:
        if not 1 <= number <= len(tables) and (tables or number > 1):
            raise FormatError(f"{name!r}: the file has {len(tables)} table{'s' * (len(tables) != 1)}")
        if tables:
            header, rows = tables[number - 1]
            return _typed(header, rows, "|")
    header = header_of(data)
    if header is None:
        raise FormatError(f"{name!r} holds no table: SELECT text FROM files shows it")
    names = unique_names([n or f"column_{i}" for i, n in enumerate(header.names, 1)])
    rows = [
        r.cells
        for _, r in zip(range(row_limit(len(names))), records(data[header.start :], header.separator, 1), strict=False)
    ]
    return _typed(names, rows, header.separator)


def markdown_tables(text: str) -> list[tuple[tuple[str, ...], list[list[str]]]]:
    """Returns the header and the rows of each table between ``|`` in a text."""
    found: list[tuple[tuple[str, ...], list[list[str]]]] = []
    lines = text.splitlines()
    at = 1
    while at < len(lines):
        if "|" in lines[at - 1] and "|" in lines[at] and _RULE.fullmatch(lines[at].strip()):
            names = [n or f"column_{i}" for i, n in enumerate(_pipe_cells(lines[at - 1]), 1)]
            rows: list[list[str]] = []
            at += 1
            while at < len(lines) and "|" in lines[at] and len(rows) < row_limit(len(names)):
                checkpoint()
                rows.append(_pipe_cells(lines[at]))
                at += 1
            found.append((unique_names(names), rows))
        at += 1
    return found


def _pipe_cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [_MARKS.sub("", cell.replace("\\|", "|")).strip() for cell in re.split(r"(?<!\\)\|", inner)]


def _typed(names: Sequence[str], rows: Sequence[Sequence[str]], separator: str) -> pl.DataFrame:
    """Returns rows of text as columns: numbers where every cell is one, booleans, else text. Short rows lack their last cells."""
    columns: list[pl.Series] = []
    names = names[:_MOST_COLUMNS]
    rows = rows[: row_limit(len(names))]
    for index, name in enumerate(names):
        checkpoint()
        cells = [r[index].strip() if index < len(r) else "" for r in rows]
        columns.append(
            _column(plain_text(name), [None if absent(c) or c in ("-", "–", "null") else c for c in cells], separator)
        )
    return pl.DataFrame(columns)


def _column(name: str, cells: Sequence[str | None], separator: str) -> pl.Series:
    known = [c for c in cells if c is not None]
    if known and all(re.fullmatch(r"[-+]?\d{1,18}", c) and not re.match(r"[-+]?0\d", c) for c in known):
        return pl.Series(name, [None if c is None else int(c) for c in cells], dtype=pl.Int64)
    numbers = [None if c is None else cell_number(c, separator) for c in cells]
    if known and all(n is not None for n, c in zip(numbers, cells, strict=True) if c is not None):
        return pl.Series(name, numbers, dtype=pl.Float64)
    if known and {c.lower() for c in known} <= {"true", "false"}:
        return pl.Series(name, [None if c is None else c.lower() == "true" for c in cells], dtype=pl.Boolean)
    return pl.Series(name, [None if c is None else plain_text(c) for c in cells], dtype=pl.String)


def _json_rows(data: bytes, name: str) -> list[Mapping[str, object]]:
    """Returns the rows of a JSON value: a list of objects, objects by name, lists of equal length, or one object."""
    try:
        value = decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name!r} is not complete JSON: {str(error)[:200]}") from error
    rows = _rows_in(value)
    if rows is None and isinstance(value, dict):
        inner = [
            found for v in cast("dict[str, object]", value).values() if (found := _rows_in(v)) and isinstance(v, list)
        ]
        rows = inner[0] if len(inner) == 1 else [cast("Mapping[str, object]", value)]
    if not rows:
        raise FormatError(f"{name!r} holds no rows: SELECT text FROM files shows it")
    return rows[:MOST_ROWS]


def _rows_in(value: object) -> list[Mapping[str, object]] | None:
    if isinstance(value, list):
        items = cast("list[object]", value)
        return (
            [cast("Mapping[str, object]", v) for v in items]
            if items and all(isinstance(v, dict) for v in items)
            else None
        )
    if not isinstance(value, dict) or not value:
        return None
    fields = cast("dict[str, object]", value)
    if all(isinstance(v, dict) for v in fields.values()):
        return [{"name": k, **cast("dict[str, object]", v)} for k, v in fields.items()]
    lengths = {len(cast("list[object]", v)) if isinstance(v, list) else -1 for v in fields.values()}
    if len(lengths) == 1 and lengths > {-1} - lengths and -1 not in lengths:
        columns = {k: cast("list[object]", v) for k, v in fields.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return None


def _json_lines(data: bytes, name: str) -> list[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = []
    for line in data.splitlines()[:MOST_ROWS]:
        try:
            value = decode(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue  # an incomplete last line, or one that is malformed
        if isinstance(value, dict):
            rows.append(cast("Mapping[str, object]", value))
    if not rows:
        raise FormatError(f"{name!r} has no line that is a JSON object")
    return rows


def _from_rows(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    flat = [flatten(row) for row in rows]
    names = list(dict.fromkeys(n for row in flat for n in row))[:_MOST_COLUMNS]
    flat = flat[: row_limit(len(names))]
    columns: list[pl.Series] = []
    for name in names:
        checkpoint()
        columns.append(typed_column(plain_text(name), [_cell(row.get(name)) for row in flat], categorical=False))
    return pl.DataFrame(columns)


def _cell(value: object) -> object:
    value = value.to_list() if isinstance(value, pl.Series) else value
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -_INT64 <= value < _INT64:
        return float(value) if abs(value) < 10**300 else str(value)
    return (
        value if value is None or isinstance(value, bool | int | float) else plain_text(json.dumps(value, default=str))
    )
