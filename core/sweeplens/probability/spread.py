"""`spread_nodes`: averages over what an estimated standard deviation may be, as weighted sums.

An estimate with ``df`` degrees of freedom is the true value times sqrt(chi-square / df). The cube root of chi-square is nearly
normal (Wilson and Hilferty 1931), so the average of a smooth function of it needs few nodes (Gauss and Legendre).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

__all__ = ["spread_nodes"]

_NODES = 64
_FURTHEST = 8.5  # standard deviations of the cube root
_MOST_DF = 1e8


def spread_nodes(df: Array) -> tuple[Array, Array]:
    """Returns values of sqrt(chi-square / df), ascending, and their weights: two arrays of the shape (n, 64).

    The weights of a row sum to 1. ``df`` has the shape (n,); a mean over them is right to about six digits from df = 1 on.
    """
    import numpy as np

    free = np.minimum(df, _MOST_DF)[:, None]
    deviation = np.sqrt(2 / (9 * free))
    middle = 1 - deviation**2
    low = np.maximum(middle - _FURTHEST * deviation, 0.0)
    nodes, weights = _legendre()
    root = low + (middle + _FURTHEST * deviation - low) * nodes
    log_density = (1.5 * free - 1) * np.log(root) - free / 2 * (root**3 - 1)  # of the cube root, but for a factor
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True)) * weights
    return root**1.5, density / density.sum(axis=1, keepdims=True)


@cache
def _legendre() -> tuple[Array, Array]:
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2
