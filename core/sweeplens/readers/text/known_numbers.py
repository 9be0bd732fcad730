"""`KnownNumbers`: a column of numbers, some of which are perhaps not known. Beside NaN, which is a number that was printed."""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["KnownNumbers"]


class KnownNumbers(Struct, frozen=True):
    """The numbers, and which of them are known."""

    values: NDArray[np.float64]
    known: NDArray[np.bool_]

    @classmethod
    def of_all(cls, values: NDArray[np.float64]) -> KnownNumbers:
        """Returns numbers that are all known."""
        return cls(values, np.ones(len(values), np.bool_))

    @classmethod
    def of_none(cls, count: int) -> KnownNumbers:
        """Returns so many numbers that are not known."""
        return cls(np.full(count, np.nan), np.zeros(count, np.bool_))

    @classmethod
    def of_series(cls, numbers: pl.Series) -> KnownNumbers:
        """Returns the numbers of a series; nulls are not known."""
        if not numbers.null_count():
            return cls.of_all(numbers.to_numpy())
        return cls(numbers.to_numpy(), numbers.is_not_null().to_numpy())

    def of(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> KnownNumbers:
        """Returns the numbers of some rows."""
        return KnownNumbers(self.values[rows], self.known[rows])

    def listed(self) -> list[float | None]:
        """Returns the numbers, None for those that are not known."""
        return [v if k else None for v, k in zip(self.values.tolist(), self.known.tolist(), strict=True)]
