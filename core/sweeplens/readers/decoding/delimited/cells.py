"""The grammar of delimited text: header, records and cells. Every table is read by it.

- A record is a line. A line with an open quote continues over the next lines, at most `MAX_RECORD_LINES`.
- The separator " " means any run of blanks and tabs; blanks around a line are then not cells.
- A cell is stripped of blanks. Empty cells and ``NA`` (written by Keras) are absent values.
- Text is UTF-8, else Windows-1252.
- A number is ASCII text without ``_`` that Python's ``float`` accepts, with ``nan`` and ``inf`` in any case.
- Blank lines and lines that begin with ``#`` are skipped, and so is a BOM. Where rows begin without a header, a ``#`` line
  before them with as many cells gives the names.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from sweeplens.readers.decoding.values import written_number, written_text

__all__ = [
    "ANY_SEPARATOR",
    "BLANKS",
    "MAX_RECORD_LINES",
    "TableHeader",
    "TableRow",
    "absent",
    "cell_number",
    "header_of",
    "number",
    "records",
    "repeated_header",
    "sample",
    "unique_names",
]

ANY_SEPARATOR = ",\t;|"
BLANKS = " "

MAX_RECORD_LINES = 100
_BOM = b"\xef\xbb\xbf"
_ABSENT = frozenset({"", "NA"})
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?%?")
_GROUPS = re.compile(r"[-+]?\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?:[.,]\d+)?%?")  # 1 000 or 1'000
_UNDERSCORES = re.compile(r"[-+]?\d{1,3}(?:_\d{3})+(?:\.\d+)?")  # what Python's format "_" writes
_GAPS = re.compile(r"[ \u00a0\u202f'’]")
_POINTS = re.compile(r"[-+]?\d{1,3}(?:\.\d{3})+,\d+%?")
_SCALED = re.compile(r"([-+]?\d+(?:\.\d+)?)\s?([kKMGB])")
_SCALES = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class TableHeader(Struct, frozen=True):
    """The header of a table: column names, and where the rows begin."""

    names: tuple[str, ...]  # stripped and unique; "" where a column has no name
    separator: str
    start: int  # bytes before the first row
    lines: int  # lines before the first row

    @property
    def key(self) -> str:
        """The part of the header that must not change while a table grows."""
        return self.separator.join(self.names)


class TableRow(NamedTuple):
    """One row: the number of its first line, and its cells; or ``error``, the reason why they cannot be read."""

    line: int
    cells: Sequence[str]
    error: str = ""


def absent(cell: str) -> bool:
    """Whether a cell is an absent value."""
    return cell in _ABSENT


def number(cell: str) -> float | None:
    """Converts a stripped cell to a number; None where it is not one."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def cell_number(cell: str, separator: str) -> float | None:
    """Parses a number in a stripped cell, also ``0,5``, ``1,234``, ``1.234,5``, ``1 000``, ``1_000``, ``1.2k``, ``50%``,
    ``tensor(0.5)``;
    else None."""
    value = number(cell)
    if value is not None or not cell:
        return value
    if "_" in cell:
        return float(cell.replace("_", "")) if _UNDERSCORES.fullmatch(cell) else None
    if separator != BLANKS and _GROUPS.fullmatch(cell):
        cell = _GAPS.sub("", cell)
    if separator != "," and _POINTS.fullmatch(cell):
        cell = cell.replace(".", "")
    if (scaled := _SCALED.fullmatch(cell)) is not None:
        return float(scaled[1]) * _SCALES[scaled[2].lower()]
    if (value := number(cell)) is not None:
        return value
    if "," in cell:
        if separator == "," and _THOUSANDS.fullmatch(cell):
            return float(cell.replace(",", ""))
        if _DECIMAL_COMMA.fullmatch(cell):
            return written_number(cell.replace(",", "."))
    return written_number(cell)


def header_of(head: bytes, separators: str = ANY_SEPARATOR) -> TableHeader | None:
    """Returns the header at the beginning of a file's head; None where no separator splits it, or where it holds numbers.

    An unknown separator may also be blanks, if the first row has as many cells and all are numbers. A header that is longer than
    the head is cut.
    """
    at = len(_BOM) if head.startswith(_BOM) else 0
    lines, comment = 0, b""
    while at < len(head):
        end = head.find(b"\n", at)
        raw = head[at:] if end < 0 else head[at:end]
        stop = len(head) if end < 0 else end + 1
        lines += 1
        if raw.lstrip().startswith(b"#"):
            comment = raw
        elif raw.strip():
            found = _named(raw, separators, stop, lines)
            if found is None and separators == ANY_SEPARATOR:
                found = _by_blanks(raw, head[stop:], stop, lines)
            return found or (_header_in_comment(comment, raw, separators, at, lines - 1) if comment else None)
        at = stop
    return None


def _named(raw: bytes, separators: str, start: int, lines: int) -> TableHeader | None:
    try:
        text = written_text(raw).rstrip("\r\n")
        split = {s: split_cells(text, s) for s in separators}
    except csv.Error:
        return None
    best = max(separators, key=lambda s: len(split[s]))
    names = [n.strip() for n in split[best]]
    if len(names) < 2 or "\0" in text or any(number(n) is not None for n in names if n):
        return None
    return TableHeader(unique_names(names), best, start, lines)


def _by_blanks(raw: bytes, body: bytes, start: int, lines: int) -> TableHeader | None:
    """Returns a header with names separated by blanks, if the next row has as many numbers."""
    found = _named(raw, BLANKS, start, lines)
    row = next((r.cells for r in records(body[: body.find(b"\n") + 1 or None], BLANKS, 1)), ())
    fits = found is not None and len(row) == len(found.names)
    return found if fits and all(cell_number(c, BLANKS) is not None for c in row) else None


def _header_in_comment(comment: bytes, row: bytes, separators: str, start: int, lines: int) -> TableHeader | None:
    """Returns the header in a comment before the rows, if it has as many names as the first row has cells."""
    text = comment.lstrip().lstrip(b"#").strip()
    for separator in separators if separators != ANY_SEPARATOR else f"{ANY_SEPARATOR}{BLANKS}":
        found = _named(text, separator, start, lines)
        cells = next((r.cells for r in records(row, separator, 1)), ())
        if (
            found
            and len(cells) == len(found.names)
            and any(cell_number(c.strip(), separator) is not None for c in cells)
        ):
            return found
    return None


def repeated_header(cells: Sequence[str], names: Sequence[str], needed: str) -> tuple[str, ...] | None:
    """Returns the column names of a row that is a new header inside a table; None for any other row.

    A row is a header when it has no number, has the ``needed`` name, and has half of the names in use.
    """
    if len(cells) < 2 or (needed and needed not in cells) or any(cell_number(c, BLANKS) is not None for c in cells):
        return None
    known = set(names) - {""}
    return unique_names(cells) if 2 * len(known.intersection(cells)) >= len(known) else None


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names, with ``.2``, ``.3`` after repeated ones."""
    seen: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name}.{seen[name]}" if name and seen[name] > 1 else name)
    return tuple(found)


def split_cells(text: str, separator: str) -> list[str]:
    """Splits a record into cells. Raises csv.Error where it cannot be split."""
    if separator == BLANKS:
        return text.split()
    if '"' not in text:
        return text.split(separator)
    rows = list(csv.reader([text], delimiter=separator, skipinitialspace=True))
    return rows[0] if rows else []


def records(data: bytes, separator: str, first_line: int) -> Iterator[TableRow]:
    """Yields the rows of a buffer, without blank lines and comments."""
    lines = written_text(data).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        number_ = first_line + at
        if '"' not in (text := lines[at]):
            at += 1
            if text.strip() and not text.startswith("#"):
                yield TableRow(
                    number_, text.split() if separator == BLANKS else text.removesuffix("\r").split(separator)
                )
            continue
        text, taken = _joined(lines, at)
        at += taken
        if not text.strip() or text.startswith("#"):
            continue
        if taken == 1 and text.count('"') % 2:
            yield TableRow(number_, (), "a quote is not closed")
            continue
        try:
            yield TableRow(number_, split_cells(text, separator))
        except csv.Error as error:
            yield TableRow(number_, (), f"cannot be split into cells: {error}")


def _joined(lines: Sequence[str], at: int) -> tuple[str, int]:
    """Returns the record that begins at a line, and its count of lines: more than one where a quote closes later."""
    text = lines[at].removesuffix("\r")
    if not text.count('"') % 2:
        return text, 1
    quotes = text.count('"')
    for extra in range(1, min(MAX_RECORD_LINES, len(lines) - at)):
        quotes += lines[at + extra].count('"')
        if quotes % 2 == 0:
            return "\n".join(lines[at : at + extra + 1]).removesuffix("\r"), extra + 1
    return text, 1


def sample(head: bytes, header: TableHeader, *, most: int = 40) -> list[dict[str, str]]:
    """Returns the first complete rows in a file's head, each as column -> stripped cell, without absent cells.

    It stops at a header with other names.
    """
    body = head[header.start :]
    whole = body[: body.rfind(b"\n") + 1] or body
    found: list[dict[str, str]] = []
    for record in records(whole, header.separator, header.lines + 1):
        if len(found) == most:
            break
        cells = [c.strip() for c in record.cells]
        if names := repeated_header(cells, header.names, ""):
            if names != header.names:
                break
            continue
        found.append({n: c for n, c in zip(header.names, cells, strict=False) if n and not absent(c)})
    return found
