"""The studentised range: the gap between largest and smallest of k equal means by chance (Tukey; Games and Howell).

    range_tail(q, k, df)    P(range of k means > q standard errors of one mean), df degrees of freedom of the spread
    range_tails             the same for arrays, elementwise

`scipy.stats.studentized_range` is more precise but a thousand times slower; tests compare this module with it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[np.float64]

__all__ = ["range_tail", "range_tails"]

_NODES_Z, _NODES_S = 96, 48
_CHUNK = 64
_MOST_DF = 1e5
_FAR = 60.0  # standard errors: the tail beyond is 0 in all printed digits


@cache
def _nodes() -> tuple[_Array, _Array, _Array, _Array]:
    """Nodes and weights: over z from -8 to 8 for the normal, over (0, 1) for the quantiles of the spread."""
    import numpy as np

    z, wz = np.polynomial.legendre.leggauss(_NODES_Z)
    u, wu = np.polynomial.legendre.leggauss(_NODES_S)
    return 8 * z, 8 * wz, (u + 1) / 2, wu / 2


def range_tail(q: float, k: int, df: float) -> float:
    """Returns P(Q > q) for k means, to about four digits."""
    import numpy as np

    return float(range_tails(np.array([q]), np.array([k]), np.array([df]))[0])


def range_tails(q: _Array, k: NDArray[np.int64], df: _Array) -> _Array:
    """Returns P(Q > q) elementwise; ``q``, ``k`` and ``df`` have one shape (n,)."""
    import numpy as np
    from scipy.special import chdtri, ndtr

    z, wz, u, wu = _nodes()
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * wz
    free = np.minimum(df, _MOST_DF)[:, None]
    far = np.minimum(np.maximum(q, 0.0), _FAR)[:, None] * np.sqrt(chdtri(free, u) / free)
    tails = np.empty(len(q))
    for i in range(0, len(q), _CHUNK):  # in chunks, to bound memory
        part = far[i : i + _CHUNK, :, None]
        inside = np.clip(ndtr(z) - ndtr(z - part), 0, 1) ** (k[i : i + _CHUNK, None, None] - 1)
        tails[i : i + _CHUNK] = 1 - (k[i : i + _CHUNK, None] * (inside @ density)) @ wu
    return np.where(q > 0, np.clip(tails, 0.0, 1.0), 1.0)
