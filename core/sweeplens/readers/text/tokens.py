"""The tokens of many lines by place: as numbers, as times, as texts.

ScannedTokens  of a compiled scan, which has their values
ListedTokens   lists of texts, which Polars converts; used where the scan is missing, with the same result
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, Self

import numpy as np
import polars as pl
from msgspec import Struct, field
from numpy.typing import NDArray

from sweeplens.native.line_scan import CLOCK, DATE, NUMBER, LineScan
from sweeplens.readers.protocol import READING_SCHEMA
from sweeplens.readers.text.known_numbers import KnownNumbers
from sweeplens.readers.text.token_values import numbers_of, times_of

__all__ = ["ListedTokens", "Rows", "ScannedTokens", "TokenColumns"]

Rows = NDArray[np.int64]


class TokenColumns(Protocol):
    """The tokens of lines of one template."""

    def numbers(self, place: int) -> pl.Series:
        """Returns the numbers at a place; null where a token is none."""
        ...

    def known_numbers(self, place: int) -> KnownNumbers:
        """Returns the numbers at a place as arrays."""
        ...

    def times(self, place: int) -> pl.Series:
        """Returns the times at a place; null where a token is none."""
        ...

    def texts(self, place: int) -> pl.Series:
        """Returns the tokens at a place as they are printed."""
        ...

    def of_line(self, row: int, count: int) -> list[str]:
        """Returns the first ``count`` tokens of one line."""
        ...

    def lines(self, rows: Rows) -> Self:
        """Returns the tokens of some of the lines."""
        ...

    def kept(self, places: Iterable[int]) -> Self:
        """Returns the tokens at these places only."""
        ...

    def loaded(self, places: Iterable[int]) -> Self:
        """Returns the same tokens, with the values at these places at hand."""
        ...


class ListedTokens(Struct):
    """A list of texts for each line."""

    listed: pl.Series

    def numbers(self, place: int) -> pl.Series:
        """Returns the numbers at a place."""
        return numbers_of(self.texts(place))

    def known_numbers(self, place: int) -> KnownNumbers:
        """Returns the numbers at a place as arrays."""
        return KnownNumbers.of_series(self.numbers(place))

    def times(self, place: int) -> pl.Series:
        """Returns the times at a place."""
        return times_of(self.texts(place))

    def texts(self, place: int) -> pl.Series:
        """Returns the tokens at a place."""
        return self.listed.list.get(place, null_on_oob=True)

    def of_line(self, row: int, count: int) -> list[str]:
        """Returns the tokens of one line."""
        return self.listed[row].to_list()[:count]

    def lines(self, rows: Rows) -> ListedTokens:
        """Returns the tokens of some of the lines."""
        return ListedTokens(self.listed.gather(rows))

    def kept(self, places: Iterable[int]) -> ListedTokens:
        """Returns the tokens at these places only."""
        return ListedTokens(self.listed.list.gather(list(places), null_on_oob=True))

    def loaded(self, places: Iterable[int]) -> ListedTokens:
        """Returns the same tokens."""
        return self


class ScannedTokens(Struct):
    """The first token of each line, in a scan."""

    scan: LineScan
    firsts: Rows
    places: tuple[int, ...] | None = None  # those that are kept; None for all
    known: dict[int, tuple[NDArray[np.float64], int]] = field(
        default_factory=dict[int, tuple[NDArray[np.float64], int]]
    )
    """The values and kinds of the tokens at those places of the lines that are at hand."""

    def numbers(self, place: int) -> pl.Series:
        """Returns the numbers at a place."""
        found, kinds = self._values(place)
        return numbers_of(self.texts(place)) if kinds & ~(NUMBER | CLOCK) else pl.Series(found)

    def known_numbers(self, place: int) -> KnownNumbers:
        """Returns the numbers at a place as arrays."""
        found, kinds = self._values(place)
        odd = kinds & ~(NUMBER | CLOCK)
        return KnownNumbers.of_series(numbers_of(self.texts(place))) if odd else KnownNumbers.of_all(found)

    def times(self, place: int) -> pl.Series:
        """Returns the times at a place."""
        found, kinds = self._values(place)
        if kinds != DATE:
            return times_of(self.texts(place))
        return pl.Series(found.astype(np.int64)).cast(READING_SCHEMA["wall_time"])

    def texts(self, place: int) -> pl.Series:
        """Returns the tokens at a place."""
        return pl.Series(self.scan.texts(self.firsts, self._place(place)), dtype=pl.String)

    def of_line(self, row: int, count: int) -> list[str]:
        """Returns the first tokens of one line."""
        first = self.firsts[row : row + 1]
        return [self.scan.texts(first, self._place(place))[0] for place in range(count)]

    def lines(self, rows: Rows) -> ScannedTokens:
        """Returns the tokens of some of the lines."""
        return ScannedTokens(self.scan, self.firsts[rows], self.places)

    def kept(self, places: Iterable[int]) -> ScannedTokens:
        """Returns the tokens at these places only."""
        return ScannedTokens(self.scan, self.firsts, tuple(map(self._place, places)))

    def loaded(self, places: Iterable[int]) -> ScannedTokens:
        """Returns the same tokens, with the values at these places at hand: read once, line by line."""
        at = [self._place(place) for place in places]
        values, kinds = self.scan.columns(self.firsts, at)
        known = {place: (values[i], kinds[i]) for i, place in enumerate(at)}
        return ScannedTokens(self.scan, self.firsts, self.places, known)

    def _values(self, place: int) -> tuple[NDArray[np.float64], int]:
        at = self._place(place)
        return self.known[at] if at in self.known else self.scan.values(self.firsts, at)

    def _place(self, place: int) -> int:
        return place if self.places is None else self.places[place]
