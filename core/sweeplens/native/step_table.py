"""`StepTable`: rows of step-per-line JSON of many files, as columns. What `step_lines.c` is to Python.

Calls go by ctypes, which lets other threads go on meanwhile; columns come back as Arrow arrays, uncopied.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_int32, c_int64, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import polars as pl

__all__ = ["LIBRARY", "ParsedText", "StepTable", "UnparsedLine", "is_compiled"]

LIBRARY = Path(__file__).with_name("step_lines" + {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so"))
_VERSION = 3  # of what the two files say to each other
_FILES, _PLACES, _STEPS = -1, -2, 0
_MOST_DOUBTS = 200


class UnparsedLine(NamedTuple):
    """A line that is no row of numbers: its bytes, without the newline, and its number from 0."""

    begin: int
    end: int
    number: int


class ParsedText(NamedTuple):
    """The whole lines of a text: their bytes, how many they are, and those in doubt."""

    bytes: int
    lines: int
    doubts: list[UnparsedLine]


class _Line(Structure):
    _fields_ = (("begin", c_int64), ("end", c_int64), ("number", c_int64))


class _Schema(Structure):
    """ArrowSchema, https://arrow.apache.org/docs/format/CDataInterface.html"""

    _fields_ = (("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64), ("n_children", c_int64),
                ("children", c_void_p), ("dictionary", c_void_p), ("release", c_void_p), ("private_data", c_void_p))  # fmt: skip


class _Array(Structure):
    """ArrowArray"""

    _fields_ = (("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64),
                ("n_children", c_int64), ("buffers", c_void_p), ("children", c_void_p), ("dictionary", c_void_p),
                ("release", c_void_p), ("private_data", c_void_p))  # fmt: skip


@cache
def _library() -> ctypes.CDLL | None:
    """The compiled file; None, with a line in the log, where it cannot be used."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        if library.table_version() != _VERSION:
            raise OSError(f"{LIBRARY.name} was built from other sources")
    except (OSError, AttributeError) as error:
        logging.getLogger("sweeplens.native").warning(
            "JSON lines are read by Python, slowly: %s. Install sweeplens anew", error
        )
        return None
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "table_new": (c_void_p, c_char_p, c_int64, c_int64),
    "table_free": (None, c_void_p),
    "table_begin": (None, c_void_p, c_uint32),
    "table_keep": (None, c_void_p),
    "table_read": (c_int64, c_void_p, c_void_p, c_int64, c_void_p, c_void_p, POINTER(_Line), c_int64),
    "table_rows": (c_int64, c_void_p),
    "table_columns": (c_int32, c_void_p),
    "table_is_full": (c_int32, c_void_p),
    "table_others": (c_int64, c_void_p, c_int32),
    "table_key": (c_void_p, c_void_p, c_int32, c_void_p),
    "table_take": (c_int32, c_void_p, c_int32, POINTER(_Schema), POINTER(_Array)),
}
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, (c_void_p, c_char_p, c_void_p)


def is_compiled() -> bool:
    """Whether there can be a `StepTable`."""
    return _library() is not None


class StepTable:
    """Rows at a step, of one file after the other: `begin` a file, `read` its lines, `keep` it; in the end take the `frame`.

    For one thread at a time, and a context manager, which frees what was not taken.
    """

    def __init__(self, axis: str, *, most_cells: int) -> None:
        library = _library()
        assert library is not None, "ask is_compiled"
        self._lib = library
        key = axis.encode()
        self._table: int = library.table_new(key, len(key), most_cells)
        if not self._table:
            raise MemoryError
        self._bytes, self._lines, self._doubts = c_int64(), c_int64(), (_Line * _MOST_DOUBTS)()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._lib.table_free(self._table)
        self._table = 0

    def begin(self, file: int) -> None:
        """What is read from now on is of this file. The rows of one that was not kept are forgotten."""
        self._lib.table_begin(self._table, file)

    def keep(self) -> None:
        """The rows of the file that began last stay."""
        self._lib.table_keep(self._table)

    def read(self, text: ctypes.Array[c_char] | bytes, length: int) -> ParsedText | None:
        """The whole lines among the first ``length`` bytes; None where very many of them are in doubt."""
        found = self._lib.table_read(
            self._table, text, length, byref(self._bytes), byref(self._lines), self._doubts, _MOST_DOUBTS
        )
        if found < 0:
            return None
        doubts = [UnparsedLine(d.begin, d.end, d.number) for d in self._doubts[:found]] if found else []
        return ParsedText(self._bytes.value, self._lines.value, doubts)

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._lib.table_rows(self._table)

    @property
    def width(self) -> int:
        """How many keys there are; the first is the axis."""
        return self._lib.table_columns(self._table)

    @property
    def is_full(self) -> bool:
        """Whether rows of the file that began last are in doubt because the table would grow too large, or too empty."""
        return bool(self._lib.table_is_full(self._table))

    def others(self) -> dict[bytes, int]:
        """How often null, true or false stood under a key of the file that began last."""
        if not self._lib.table_others(self._table, _STEPS):
            return {}
        counts = {self.key(i): self._lib.table_others(self._table, i) for i in range(1, self.width)}
        return {key: count for key, count in counts.items() if count}

    def key(self, column: int) -> bytes:
        """A key as it is written."""
        length = c_int64()
        return ctypes.string_at(self._lib.table_key(self._table, column, byref(length)), length.value)

    def frame(self) -> pl.DataFrame:
        """All that was kept, once: ``\\0run`` (file), ``\\0seq`` (row within it), ``\\0step``, and a column for each key."""
        self._lib.table_begin(self._table, 0)
        columns = {
            name: self._column(place) for name, place in (("\0run", _FILES), ("\0seq", _PLACES), ("\0step", _STEPS))
        }
        columns["\0run"] = columns["\0run"].set_sorted()
        columns |= {self.key(place).decode(): self._column(place) for place in range(1, self.width)}
        return pl.DataFrame(columns)

    def _column(self, place: int) -> pl.Series:
        return pl.Series(_Column(self._lib, self._table, place))


class _Column:
    """A column of a table on its way to who imports it (the Arrow PyCapsule interface)."""

    def __init__(self, library: ctypes.CDLL, table: int, column: int) -> None:
        self._schema, self._array = _Schema(), _Array()
        if not library.table_take(table, column, byref(self._schema), byref(self._array)):
            raise MemoryError

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        schema, array = ctypes.addressof(self._schema), ctypes.addressof(self._array)
        return _capsule(schema, b"arrow_schema", None), _capsule(array, b"arrow_array", None)
