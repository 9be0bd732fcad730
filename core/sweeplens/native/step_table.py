"""`StepTable`: rows of step-per-line JSON of many files, as columns. The Python interface of `step_lines.c`.

Calls use ctypes, which releases the interpreter lock; columns are returned as Arrow arrays without a copy.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, byref, c_char, c_char_p, c_int64, c_void_p
from typing import NamedTuple, Self

import polars as pl

from sweeplens.native.library import UnparsedSpan, compiled_library

__all__ = ["ParsedLines", "StepTable", "UnparsedLine"]

_FILES, _ROW_NUMBERS, _STEPS = -1, -2, 0
_MAX_UNPARSED = 200
_TIMES, _WORDS = 1, 2  # kinds of a column


class UnparsedLine(NamedTuple):
    """A line that is not a row of numbers: its bytes, without the newline, and its number from 0."""

    begin: int
    end: int
    number: int


class ParsedLines(NamedTuple):
    """The result for the whole lines of a text: their bytes, their number, and the unparsed lines."""

    bytes: int
    lines: int
    doubts: list[UnparsedLine]


class _ArrowSchema(Structure):
    """ArrowSchema, https://arrow.apache.org/docs/format/CDataInterface.html"""

    _fields_ = (("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64), ("n_children", c_int64),
                ("children", c_void_p), ("dictionary", c_void_p), ("release", c_void_p), ("private_data", c_void_p))  # fmt: skip


class _ArrowArray(Structure):
    """ArrowArray"""

    _fields_ = (("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64),
                ("n_children", c_int64), ("buffers", c_void_p), ("children", c_void_p), ("dictionary", c_void_p),
                ("release", c_void_p), ("private_data", c_void_p))  # fmt: skip


_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, (c_void_p, c_char_p, c_void_p)


class StepTable:
    """Collects rows of several files: `begin` a file, `read` its lines, `keep` it; at the end get the `frame`.

    It is for one thread at a time. As a context manager it frees columns that were not taken.
    """

    def __init__(self, axis: str, *, most_cells: int) -> None:
        library = compiled_library()
        assert library is not None, "ask is_compiled"
        self._lib = library
        key = axis.encode()
        self._table: int = library.table_new(key, len(key), most_cells)
        if not self._table:
            raise MemoryError
        self._bytes, self._lines, self._unparsed = c_int64(), c_int64(), (UnparsedSpan * _MAX_UNPARSED)()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._lib.table_free(self._table)
        self._table = 0

    def begin(self, file: int) -> None:
        """Starts a file. The rows of a file that was not kept are dropped."""
        self._lib.table_begin(self._table, file)

    def keep(self) -> None:
        """Keeps the rows of the current file."""
        self._lib.table_keep(self._table)

    def read(self, text: ctypes.Array[c_char] | bytes, length: int) -> ParsedLines | None:
        """Reads the whole lines among the first ``length`` bytes; None if too many of them cannot be parsed."""
        found = self._lib.table_read(
            self._table, text, length, byref(self._bytes), byref(self._lines), self._unparsed, _MAX_UNPARSED
        )
        if found < 0:
            return None
        doubts = [UnparsedLine(d.begin, d.end, d.number) for d in self._unparsed[:found]] if found else []
        return ParsedLines(self._bytes.value, self._lines.value, doubts)

    @property
    def rows(self) -> int:
        """Returns the number of rows."""
        return self._lib.table_rows(self._table)

    @property
    def width(self) -> int:
        """Returns the number of keys; the first is the axis."""
        return self._lib.table_columns(self._table)

    @property
    def is_full(self) -> bool:
        """Whether rows of the current file were left unparsed because the table would become too large or too sparse."""
        return bool(self._lib.table_is_full(self._table))

    def others(self) -> dict[bytes, int]:
        """Returns how often each key of the current file had null, true or false."""
        if not self._lib.table_others(self._table, _STEPS):
            return {}
        counts = {self.key(i): self._lib.table_others(self._table, i) for i in range(1, self.width)}
        return {key: count for key, count in counts.items() if count}

    def texts(self) -> dict[bytes, int]:
        """Returns the number of values in the current file for each key whose values are words or times."""
        return self._counts_of((_TIMES, _WORDS))

    def words(self) -> dict[bytes, int]:
        """Returns the same for each key whose values are words, and no times."""
        return self._counts_of((_WORDS,))

    def _counts_of(self, kinds: tuple[int, ...]) -> dict[bytes, int]:
        columns = [c for c in range(1, self.width) if self._lib.table_kind(self._table, c) in kinds]
        counts = {self.key(c): self._lib.table_values(self._table, c) for c in columns}
        return {key: count for key, count in counts.items() if count}

    def key(self, column: int) -> bytes:
        """Returns a key as it is written."""
        length = c_int64()
        return ctypes.string_at(self._lib.table_key(self._table, column, byref(length)), length.value)

    def frame(self) -> pl.DataFrame:
        """Returns all kept rows, once: ``\\0run`` (file), ``\\0seq`` (row within it), ``\\0step``, and a column for each key.

        Numbers are Float64, words String, and times Datetime.
        """
        self._lib.table_begin(self._table, 0)
        columns = {
            name: self._column(column)
            for name, column in (("\0run", _FILES), ("\0seq", _ROW_NUMBERS), ("\0step", _STEPS))
        }
        columns["\0run"] = columns["\0run"].set_sorted()
        columns |= {self.key(column).decode(): self._values(column) for column in range(1, self.width)}
        return pl.DataFrame(columns)

    def _values(self, column: int) -> pl.Series:
        kind = self._lib.table_kind(self._table, column)
        if kind == _TIMES:
            return self._column(column).cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
        if kind == _WORDS:
            return pl.Series(self._words(column), dtype=pl.String).gather(self._column(column).cast(pl.UInt32))
        return self._column(column)

    def _words(self, column: int) -> list[str]:
        length, found = c_int64(), list[str]()
        for place in range(self._lib.table_words(self._table, column)):
            text = self._lib.table_word(self._table, column, place, byref(length))
            found.append(ctypes.string_at(text, length.value).decode())
        return found

    def _column(self, column: int) -> pl.Series:
        return pl.Series(_Column(self._lib, self._table, column))


class _Column:
    """Exports a column of a table by the Arrow PyCapsule interface."""

    def __init__(self, library: ctypes.CDLL, table: int, column: int) -> None:
        self._schema, self._array = _ArrowSchema(), _ArrowArray()
        if not library.table_take(table, column, byref(self._schema), byref(self._array)):
            raise MemoryError

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        schema, array = ctypes.addressof(self._schema), ctypes.addressof(self._array)
        return _capsule(schema, b"arrow_schema", None), _capsule(array, b"arrow_array", None)
