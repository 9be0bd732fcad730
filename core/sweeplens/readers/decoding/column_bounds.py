"""Checks how large a Parquet or Arrow file is once it is decoded, before a library decodes it.

    check_columns(data)    raises SourceLimitError for a file with too many values or bytes, FormatError for a damaged one

Both formats repeat and compress values, so that some kilobytes may hold any number of them, and the library takes memory for all
before it can tell. The sizes are read from the headers of all pages (Parquet) and buffers (Arrow), which the library follows too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sweeplens.errors import FormatError, SourceLimitError

__all__ = ["MOST_TEXT_BYTES", "check_columns"]

_MOST_VALUES = 20_000_000
_MOST_BYTES = 512 << 20  # of all pages or buffers, decompressed
_MOST_PARTS = 50_000  # pages or blocks
MOST_TEXT_BYTES = 256 << 20
"""Bytes of text that rows may hold: equal texts share memory in columns, and each has its own in a row."""

_DEEPEST = 16
_INTEGERS = (4, 5, 6)
_BYTES, _LISTS, _MAPS, _STRUCTS = 8, (9, 10), 11, 12
_FIXED = {1: 1, 2: 1, 3: 1, 7: 8}  # booleans in lists, bytes, floats


def check_columns(data: bytes) -> None:
    """Raises SourceLimitError for a file that is too large once it is decoded, FormatError where its headers cannot be read."""
    sizes = _parquet_sizes(data) if data.startswith(b"PAR1") else _arrow_sizes(data)
    values = taken = parts = 0
    try:
        for count, size in sizes:
            values, taken, parts = values + count, taken + size, parts + 1
            if count < 0 or size < 0:
                raise FormatError("a header states a negative size")
            if values > _MOST_VALUES:
                raise SourceLimitError(f"a table of more than {_MOST_VALUES:,} values: not read")
            if taken > _MOST_BYTES:
                raise SourceLimitError(f"a table of more than {_MOST_BYTES >> 20} MB once it is decompressed: not read")
            if parts > _MOST_PARTS:
                raise SourceLimitError(f"a table of more than {_MOST_PARTS:,} pages: not read")
    except (struct.error, IndexError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError("the headers of its pages are damaged") from error


# ------------------------------------------------------------------ Parquet: headers in Thrift's compact protocol


def _parquet_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the values and bytes of each page of each column, and the rows of each group."""
    (length,) = struct.unpack_from("<I", data, len(data) - 8)
    start = len(data) - 8 - length
    if not data.endswith(b"PAR1") or start < 0:
        raise FormatError("the end of the file is missing")
    for group in _Thrift(data, start).fields(0).get(4, ()):
        yield group.get(3, 0), 0
        for chunk in group.get(1, ()):
            column = chunk[3]
            begin = min(v for v in (column.get(11), column.get(9)) if v)
            yield from _pages(data, begin, begin + column[7])


def _pages(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    if not 0 < at <= end <= len(data):
        raise FormatError("a column lies outside of the file")
    while at < end:
        reader = _Thrift(data, at)
        page = reader.fields(0)
        counts = [cast("Mapping[int, int]", page[kind]).get(1, 0) for kind in (5, 7, 8) if kind in page]
        if page[3] < 0:
            raise FormatError("a page has no size")
        yield max(counts, default=0), page[2]
        at = reader.at + page[3]


class _Thrift:
    """Reads one structure, as field -> value, from a place in the data."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def fields(self, depth: int) -> dict[int, Any]:
        """Returns the fields of a structure: integers, lists and structures; of other types only that they are there."""
        if depth > _DEEPEST:
            raise FormatError("a header is nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._integer()
            found[number] = None if head & 15 in (1, 2) else self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind in _LISTS:
            return self._list(depth + 1)
        if kind == _STRUCTS:
            return self.fields(depth + 1)
        if kind == _MAPS:
            raise FormatError("a header holds a map")
        length = self._unsigned() if kind == _BYTES else _FIXED[kind]
        self.at += length
        return None

    def _list(self, depth: int) -> Sequence[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        count = self._unsigned() if count == 15 else count
        if count > len(self._data) - self.at or depth > _DEEPEST:
            raise FormatError("a list is longer than the file, or nested too deep")
        return [self._value(kind, depth) for _ in range(count)]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise FormatError("a number is too long")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)


# ------------------------------------------------------------------ Arrow: headers in Flatbuffers


def _arrow_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the values and bytes of each block of the file."""
    if not data.startswith(b"ARROW1") or not data.endswith(b"ARROW1"):
        raise FormatError("the end of the file is missing")
    (length,) = struct.unpack_from("<i", data, len(data) - 10)
    footer = _Flat.root(data, len(data) - 10 - length)
    for field, inner in ((2, 1), (3, None)):
        start, count = footer.vector(field)
        for number in range(count):
            offset, header, _ = struct.unpack_from("<qi4xq", data, start + 24 * number)
            yield _block(data, offset, header, inner)


def _block(data: bytes, offset: int, header: int, inner: int | None) -> tuple[int, int]:
    """Returns the values and decompressed bytes of a block. ``inner``: the field of a dictionary that holds its batch."""
    is_new = data[offset : offset + 4] == b"\xff" * 4
    message = _Flat.root(data, offset + (8 if is_new else 4)).table(2)
    batch = message if inner is None else message.table(inner)
    start, count = batch.vector(1)
    lengths = _int64s(data, start, 2 * count)[::2]
    start, buffers = batch.vector(2)
    places = _int64s(data, start, 2 * buffers)
    sizes = _decompressed(data, offset + header, places) if batch.has(3) else list(places[1::2])
    if any(v < 0 for v in (*lengths, *sizes)):
        raise FormatError("a header states a negative size")
    return max(sum(lengths), batch.number(0, "<q")) + count, sum(sizes) + buffers


def _decompressed(data: bytes, body: int, places: Sequence[int]) -> list[int]:
    """Returns the sizes of compressed buffers, which stand before each; -1 there: it is not compressed."""
    sizes: list[int] = []
    for offset, length in zip(places[::2], places[1::2], strict=True):
        stated = struct.unpack_from("<q", data, body + offset)[0] if length >= 8 else -1
        sizes.append(length if stated == -1 else stated)
    return sizes


def _int64s(data: bytes, start: int, count: int) -> Sequence[int]:
    if not 0 <= start <= start + 8 * count <= len(data):
        raise FormatError("a header leads outside of the file")
    return memoryview(data)[start : start + 8 * count].cast("q").tolist()


class _Flat:
    """A table of a Flatbuffer at a place in the data."""

    def __init__(self, data: bytes, at: int) -> None:
        if at < 0:
            raise FormatError("a header leads outside of the file")
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        if self._fields < 0:
            raise FormatError("a header leads outside of the file")
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    @classmethod
    def root(cls, data: bytes, at: int) -> _Flat:
        """Returns the table that a buffer begins with."""
        if at < 0:
            raise FormatError("a header leads outside of the file")
        return cls(data, at + struct.unpack_from("<I", data, at)[0])

    def _place(self, field: int) -> int:
        entry = 4 + 2 * field
        found = struct.unpack_from("<H", self._data, self._fields + entry)[0] if entry < self._size else 0
        return self._at + found if found else 0

    def has(self, field: int) -> bool:
        """Whether the table has a field."""
        return self._place(field) > 0

    def number(self, field: int, kind: str) -> int:
        """Returns a number; 0 where there is none."""
        place = self._place(field)
        return struct.unpack_from(kind, self._data, place)[0] if place else 0

    def table(self, field: int) -> _Flat:
        """Returns a table that a field leads to."""
        return self.root(self._data, self._place(field))

    def vector(self, field: int) -> tuple[int, int]:
        """Returns where the elements of a list begin, and how many it has."""
        place = self._place(field)
        if not place:
            return 0, 0
        start = place + struct.unpack_from("<I", self._data, place)[0]
        return start + 4, struct.unpack_from("<I", self._data, start)[0]
