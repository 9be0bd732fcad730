"""What the bytes of delimited text mean: header, records, cells. The exact grammar that every table is read by.

- A record is a line; a line whose quotes do not close goes on with the lines after it, at most `MAX_RECORD_LINES`.
- A cell is stripped of blanks. Empty cells and ``NA`` (Keras' word) are absent: nothing was logged there.
- A number is what Python's ``float`` reads, in ASCII and without ``_``: ``nan`` and ``inf`` in any case too.
- Lines that are blank or begin with ``#`` are skipped; a BOM is no part of the first name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

__all__ = [
    "MAX_RECORD_LINES",
    "TableHeader",
    "TableRow",
    "absent",
    "header_of",
    "number",
    "records",
    "sample",
    "unique_names",
]

MAX_RECORD_LINES = 100
_BOM = b"\xef\xbb\xbf"
_ABSENT = frozenset({"", "NA"})


class TableHeader(Struct, frozen=True):
    """The first row of a table: column names, and where the rows begin."""

    names: tuple[str, ...]  # stripped and unique; "" where a column has no name
    separator: str
    start: int  # bytes before the first row
    lines: int  # lines before the first row

    @property
    def key(self) -> str:
        """What must stay the same while a table grows."""
        return self.separator.join(self.names)


class TableRow(NamedTuple):
    """One row as written: its first line's number and its cells; ``error`` says why there are none."""

    line: int
    cells: Sequence[str]
    error: str = ""


def absent(cell: str) -> bool:
    """Whether a cell says that nothing was logged."""
    return cell in _ABSENT


def number(cell: str) -> float | None:
    """A stripped cell -> the number that it is, else None."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def header_of(head: bytes, separators: str = ",\t;|") -> TableHeader | None:
    """The header that a file's head begins with; None where no separator splits it, or where it holds numbers.

    A header that does not end within the head is cut at its last separator.
    """
    at = len(_BOM) if head.startswith(_BOM) else 0
    lines = 0
    while at < len(head):
        end = head.find(b"\n", at)
        raw = head[at:] if end < 0 else head[at:end]
        stop = len(head) if end < 0 else end + 1
        lines += 1
        if raw.strip() and not raw.lstrip().startswith(b"#"):
            return _named(raw, separators, stop, lines)
        at = stop
    return None


def _named(raw: bytes, separators: str, start: int, lines: int) -> TableHeader | None:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
        split = {s: split_cells(text, s) for s in separators}
    except (UnicodeDecodeError, csv.Error):
        return None
    best = max(separators, key=lambda s: len(split[s]))
    names = [n.strip() for n in split[best]]
    if len(names) < 2 or "\0" in text or any(number(n) is not None for n in names if n):
        return None
    return TableHeader(unique_names(names), best, start, lines)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with ``.2``, ``.3`` after those that come again."""
    seen: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name}.{seen[name]}" if name and seen[name] > 1 else name)
    return tuple(found)


def split_cells(text: str, separator: str) -> list[str]:
    """The cells of one record. Raises csv.Error for one that cannot be split."""
    if '"' not in text:
        return text.split(separator)
    rows = list(csv.reader([text], delimiter=separator, skipinitialspace=True))
    return rows[0] if rows else []


def records(data: bytes, separator: str, first_line: int) -> Iterator[TableRow]:
    """The rows of a buffer, blank lines and comments left out."""
    lines = data.decode("utf-8", "replace").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        number_ = first_line + at
        if '"' not in (text := lines[at]):
            at += 1
            if text.strip() and not text.startswith("#"):
                yield TableRow(number_, text.removesuffix("\r").split(separator))
            continue
        text, taken = _joined(lines, at)
        at += taken
        if not text.strip() or text.startswith("#"):
            continue
        if taken == 1 and text.count('"') % 2:
            yield TableRow(number_, (), "a quote is opened and not closed")
            continue
        try:
            yield TableRow(number_, split_cells(text, separator))
        except csv.Error as error:
            yield TableRow(number_, (), f"cannot be split into cells: {error}")


def _joined(lines: Sequence[str], at: int) -> tuple[str, int]:
    """The record that begins at a line, and its count of lines: more than one where quotes close further on."""
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
    """The first rows that lie whole in a file's head, each as column -> stripped cell, absent cells left out."""
    body = head[header.start :]
    whole = body[: body.rfind(b"\n") + 1] or body
    found: list[dict[str, str]] = []
    for record in records(whole, header.separator, header.lines + 1):
        if len(found) == most:
            break
        cells = zip(header.names, (c.strip() for c in record.cells), strict=False)
        found.append({n: c for n, c in cells if n and not absent(c)})
    return found
