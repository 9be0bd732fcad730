"""`t_tails`: the tails of Student's t for many values at once, by the same formulas as `student_t` and `beta`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from sweeplens.probability.student_t import FURTHEST, NORMAL_DF, gamma_ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

__all__ = ["t_tails"]

_TINY = 1e-300
_ENOUGH = 4e-16
_MOST_TERMS = 20_000


def t_tails(df: Array, t: Array) -> Array:
    """Returns P(T > t) elementwise, for t >= 0 and df > 0."""
    import numpy as np

    t, df = np.minimum(t, FURTHEST), np.minimum(df, NORMAL_DF)
    sizes, place = np.unique(df, return_inverse=True)
    ratio = np.array([gamma_ratio(size) for size in sizes.tolist()])[place]
    square, a, b = t * t, df / 2, np.full_like(df, 0.5)
    x, rest = df / (df + square), square / (df + square)
    front = ratio / math.sqrt(math.pi) * np.exp(-a * np.log1p(square / df)) * t / np.sqrt(df + square)
    is_far = x < (a + 1) / (a + b + 2)
    fraction = _fractions(np.where(is_far, x, rest), np.where(is_far, a, b), np.where(is_far, b, a))
    near = np.where(t == 0, 0.5, 0.5 * (1 - front * fraction / b))
    return np.where(is_far, 0.5 * front * fraction / a, near)


def _fractions(x: Array, a: Array, b: Array) -> Array:
    """Returns the continued fraction of the incomplete beta function elementwise, by Lentz's method; each stops by itself."""
    import numpy as np

    found, left = np.empty_like(x), np.arange(len(x))
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    c, value = np.ones_like(x), d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _not_zero(1 + even * d), _not_zero(1 + even / c)
        value = value * (d * c)
        d, c = 1 / _not_zero(1 + odd * d), _not_zero(1 + odd / c)
        value = value * (d * c)
        found[left] = value
        going = np.abs(d * c - 1) > _ENOUGH
        if not going.any():
            break
        left = left[going]
        x, a, b, c, d, value = (each[going] for each in (x, a, b, c, d, value))
    return found


def _not_zero(values: Array) -> Array:
    import numpy as np

    return np.where(values == 0, _TINY, values)
