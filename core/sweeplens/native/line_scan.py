"""`LineScan`: the lines of a text that may hold a value, their shapes and their tokens. The Python interface of `text_lines.c`.

Values are copied into arrays of NumPy; the memory of the scan is freed with its object.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sweeplens.native.library import address, compiled_library

__all__ = ["CLOCK", "DATE", "NUMBER", "ODD", "LineScan", "ScannedShapes", "is_clean"]

NUMBER, CLOCK, DATE, ODD = 1, 2, 4, 8
"""Kinds of tokens as bits. A date has microseconds since 1970 as value; the value of an odd token is for Python to find."""
_LONGEST = (1 << 32) - 1
_NO_MEMORY = -1

Integers = NDArray[np.int64]


class ScannedShapes(NamedTuple):
    """For each shape: number and bytes of its first line, the count of its tokens, the count of its lines."""

    lines: Integers
    begins: NDArray[np.uint32]
    ends: NDArray[np.uint32]
    tokens: NDArray[np.int32]
    counts: Integers


class LineScan:
    """The lines of one text: their numbers, the index of the first token of each, their shapes, and how many ends of lines
    the text has."""

    def __init__(self, library: Any, handle: int, text: bytes, count: int) -> None:
        self._lib, self._handle, self.text = library, handle, text
        self.ends = int(library.scan_ends(handle))
        self.numbers, self.firsts = np.empty(count, np.int64), np.empty(count, np.int64)
        self.shapes = np.empty(count, np.int32)
        library.scan_copy_lines(handle, address(self.numbers), address(self.firsts), address(self.shapes))

    @classmethod
    def of(cls, text: bytes) -> Self | None:
        """Scans a text in UTF-8; None where it is not compiled, too long, or has digits of other scripts."""
        library = compiled_library()
        if library is None or len(text) > _LONGEST:
            return None
        handle = library.scan_new()
        if not handle:
            raise MemoryError
        count = library.scan_text(handle, text, len(text))
        if count < 0:
            library.scan_free(handle)
            if count == _NO_MEMORY:
                raise MemoryError
            return None
        made = cls(library, handle, text, count)
        weakref.finalize(made, library.scan_free, handle)
        return made

    def first_lines(self) -> ScannedShapes:
        """Returns the first line of each shape, in the order of the text."""
        n = self._lib.scan_shapes(self._handle)
        found = ScannedShapes(
            np.empty(n, np.int64), np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.int32), np.empty(n, np.int64)
        )  # fmt: skip
        self._lib.scan_copy_shapes(self._handle, *map(address, found))
        return found

    def columns(self, firsts: Integers, places: Sequence[int]) -> tuple[NDArray[np.float64], list[int]]:
        """Returns the tokens at some places in each of some lines, given by their first tokens: a row of values, and the kinds
        among them, for each place."""
        at, kinds = np.array(places, np.int64), np.zeros(len(places), np.int32)
        found = np.empty((len(places), len(firsts)), np.float64)
        if not self._lib.scan_copy_values(
            self._handle, address(firsts), len(firsts), address(at), len(places), address(found), address(kinds)
        ):
            raise IndexError(places)
        return found, kinds.tolist()

    def values(self, firsts: Integers, place: int) -> tuple[NDArray[np.float64], int]:
        """Returns the token at a place in each of some lines, and the kinds among them."""
        found, kinds = self.columns(firsts, (place,))
        return found[0], kinds[0]

    def texts(self, firsts: Integers, place: int) -> list[str]:
        """Returns the text of the token at a place in each of some lines."""
        begins, ends = np.empty(len(firsts), np.uint32), np.empty(len(firsts), np.uint32)
        if not self._lib.scan_copy_places(
            self._handle, address(firsts), len(firsts), place, address(begins), address(ends)
        ):
            raise IndexError(place)
        return [self.text[b:e].decode() for b, e in zip(begins.tolist(), ends.tolist(), strict=True)]


def is_clean(text: bytes) -> bool:
    """Whether a text is ASCII without control characters, except tabs and ends of lines; False where it is not compiled."""
    library = compiled_library()
    return library is not None and bool(library.text_is_clean(text, len(text)))
