"""Facts about many columns in one pass each: a call of Polars for every column costs more than the column itself.

Each function takes the columns as a list of series of one length, each with a name of its own. It returns one fact for each,
in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Codes = npt.NDArray[np.int64]

__all__ = ["distinct_counts", "known_counts", "rank_codes", "sorted_values", "value_sets"]


def distinct_counts(columns: Sequence[pl.Series]) -> list[int]:
    """Returns the number of different values; null is one of them."""
    return list(pl.DataFrame(columns).select(pl.all().n_unique()).row(0)) if columns else []


def known_counts(columns: Sequence[pl.Series]) -> list[int]:
    """Returns the number of different values that are not null."""
    return [n - (column.null_count() > 0) for n, column in zip(distinct_counts(columns), columns, strict=True)]


def sorted_values(columns: Sequence[pl.Series]) -> list[pl.Series]:
    """Returns the different values that are not null, in order."""
    if not columns:
        return []
    values = pl.DataFrame(columns).select(pl.all().drop_nulls().unique().sort().implode())
    return [values.to_series(i).item().alias(column.name) for i, column in enumerate(columns)]


def value_sets(columns: Sequence[pl.Series]) -> list[set[object]]:
    """Returns the different values; None for null."""
    nulls = [{None} if column.null_count() else set[object]() for column in columns]
    return [set(values) | null for values, null in zip(sorted_values(columns), nulls, strict=True)]


def rank_codes(columns: Sequence[pl.Series]) -> Codes:
    """Returns one row for each column: the ranks of its values, from 1 without gaps; 0 for null."""
    import numpy as np  # loads with the first question that needs it

    if not columns:
        return np.zeros((0, 0), dtype=np.int64)
    ranks = pl.DataFrame(columns).select(pl.all().rank("dense").fill_null(0))
    return np.ascontiguousarray(ranks.to_numpy().T, dtype=np.int64)
