"""`placed_rows`: the run and the step of each row of a text log. The Python interface of `row_places.c`.

The state before the first row is that of `AxisState` (readers/text/axis.py) with NaN for None; a call changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, byref, c_double, c_int64, c_void_p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeplens.native.library import address, compiled_library

__all__ = [
    "COUNT_FIELDS",
    "EVAL",
    "INNER",
    "METRICS",
    "NAMED",
    "PASSING",
    "POSITIONAL",
    "AxisBefore",
    "RowPlaces",
    "placed_rows",
]

INNER, NAMED, POSITIONAL, METRICS, EVAL, PASSING = 1, 2, 4, 8, 16, 32
"""The traits of a template as bits."""
COUNT_FIELDS = ("last", "first", "base", "epoch", "total")
"""The columns of the counts; one more says whether the count exists. The first two counts are those that every log may have."""


class AxisBefore(Structure):
    """The state before a row; ``split`` is a place in a list."""

    _fields_ = (
        ("epoch", c_double), ("first_epoch", c_double), ("run", c_int64), ("step", c_int64), ("position", c_int64),
        ("has_step", c_int64), ("is_fine", c_int64), ("has_rows", c_int64), ("split", c_int64), ("is_passing", c_int64),
    )  # fmt: skip


class RowPlaces(NamedTuple):
    """The run, step and split of each row; whether it has a step, and whether the row itself has the finest count."""

    run: NDArray[np.int64]
    step: NDArray[np.int64]
    placed: NDArray[np.bool_]
    own: NDArray[np.bool_]
    under: NDArray[np.int64]


class _KnownColumn(Structure):
    _fields_ = (("values", c_void_p), ("known", c_void_p))


def placed_rows(
    keys: NDArray[np.int64],
    numbers: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]],
    traits: NDArray[np.int64],
    axis: AxisBefore,
    counts: NDArray[np.float64],
    no_split: int,
) -> RowPlaces | None:
    """Places rows; None where it is not compiled, or a step does not fit in 64 bits.

    ``numbers``: epoch, count and total of each row, and whether they are known. ``traits``: of each key the bits, the split and
    the count. ``counts``: see `COUNT_FIELDS`.
    """
    library, n = compiled_library(), len(keys)
    if library is None:
        return None
    if any(len(v) != n or len(k) != n for v, k in numbers) or (n and not 0 <= keys.min() <= keys.max() < len(traits)):
        raise IndexError(n)
    kept = [(np.ascontiguousarray(v), np.ascontiguousarray(k)) for v, k in numbers]
    columns = (_KnownColumn * 3)(*(_KnownColumn(address(v), address(k)) for v, k in kept))
    found = RowPlaces(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.bool_),
        np.empty(n, np.bool_),
        np.empty(n, np.int64),
    )
    done = library.place_text_rows(
        address(np.ascontiguousarray(keys)), n, columns, address(traits), byref(axis), address(counts), len(counts), no_split,
        *map(address, found),
    )  # fmt: skip
    return found if done else None
