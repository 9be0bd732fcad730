"""The normal distribution: `normal_tail` and `normal_quantile` of one number, `normal_cdf` of an array.

For an array the function is expanded in a Taylor series about the nearest node of a grid, whose values `math.erfc` gives.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[np.float64]

__all__ = ["normal_cdf", "normal_quantile", "normal_tail"]

_NODES_PER_UNIT = 256
_FURTHEST = 38.5  # the probability below -38.5 is no number of 64 bits any more
_TERMS = 7


def normal_quantile(p: float) -> float:
    """Returns the value below which a standard normal variable is with probability ``p``, for 0 < p < 1 (Wichura 1988)."""
    return NormalDist().inv_cdf(p)


def normal_tail(z: float) -> float:
    """Returns P(Z > z)."""
    return math.erfc(z / math.sqrt(2)) / 2


def normal_cdf(z: ArrayLike) -> Array:
    """Returns P(Z < z) elementwise; relatively exact in the lower tail."""
    import numpy as np

    wanted = np.asarray(z, dtype=np.float64)
    inside = np.clip(np.nan_to_num(wanted, nan=0.0), -_FURTHEST, _FURTHEST)
    place = np.rint((inside + _FURTHEST) * _NODES_PER_UNIT).astype(np.int64)
    nodes, values, densities = _grid()
    at, away = nodes[place], inside - nodes[place]
    found = np.clip(values[place] + densities[place] * _series(at, away), 0.0, 1.0)
    return np.where(np.isnan(wanted), np.nan, np.where(wanted < -_FURTHEST, 0.0, found))


@cache
def _grid() -> tuple[Array, Array, Array]:
    """Returns the nodes, with the probability below and the density at each."""
    import numpy as np

    nodes = np.arange(int(2 * _FURTHEST * _NODES_PER_UNIT) + 1) / _NODES_PER_UNIT - _FURTHEST
    values = np.array([math.erfc(-x / math.sqrt(2)) / 2 for x in nodes.tolist()])
    return nodes, values, np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)


def _series(at: Array, away: Array) -> Array:
    """Returns (cdf(at + away) - cdf(at)) / density(at): derivatives of the density are Hermite's polynomials."""
    import numpy as np

    before, hermite = np.zeros_like(at), np.ones_like(at)
    power = away.copy()
    total = away.copy()
    for k in range(1, _TERMS):
        before, hermite = hermite, -at * hermite - (k - 1) * before
        power = power * away / (k + 1)
        total += hermite * power
    return total
