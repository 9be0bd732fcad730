"""`grow`: a regression tree with random cuts. The Python interface of `trees.c`; numpy grows the same tree where it is missing.

Extremely randomised trees (Geurts, Ernst, Wehenkel 2006): at each node every column that varies there gets one random cut, and
the cut that leaves the least squared error is taken.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from sweeplens.native.library import compiled_library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = NDArray[np.float32]
    Predict: TypeAlias = Callable[[Columns], Values]

__all__ = ["grow"]

_UNITS = 1e9  # values are whole numbers of this part of 1, whose sums are exact in any order


def grow(x: Columns, y: Values, *, leaf: int, seed: int) -> Predict:
    """Returns the prediction function of a tree: rows of the shape (m, p) to their means.

    ``x`` has the shape (n, p), ``y`` (n,) with values of a size about 1, which count to 9 decimals. A leaf keeps at least
    ``leaf`` rows. The same seed gives the same tree.
    """
    import numpy as np

    columns = np.ascontiguousarray(x.T)
    whole = np.rint(y * _UNITS)
    if (library := compiled_library()) is None:
        from sweeplens.native.trees_in_numpy import grow_in_numpy

        return _in_units(grow_in_numpy(columns, whole, leaf, seed))
    return _in_units(_compiled(library, columns, whole, leaf, seed))


def _in_units(predict: Predict) -> Predict:
    return lambda asked: predict(asked) / _UNITS


def _compiled(library: ctypes.CDLL, columns: Columns, whole: Values, leaf: int, seed: int) -> Predict:
    """Returns the prediction function of a compiled tree. Raises MemoryError."""
    import numpy as np

    p, n = columns.shape
    nodes = np.empty(max(2 * n - 1, 1), dtype=_node_type())
    made = library.tree_grow(columns.ctypes, whole.ctypes, n, p, leaf, seed, nodes.ctypes)
    if made < 0:
        raise MemoryError("a tree does not fit in memory")
    kept = nodes[:made].copy()

    def predict(asked: Columns) -> Values:
        rows = np.ascontiguousarray(asked, dtype=np.float32)
        means = np.empty(len(rows))
        library.tree_ask(kept.ctypes, rows.ctypes, len(rows), p, means.ctypes)
        return means

    return predict


@cache
def _node_type() -> Any:
    import numpy as np

    return np.dtype([("column", "i4"), ("low", "i4"), ("high", "i4"), ("cut", "f4"), ("mean", "f8")], align=True)
