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

_NODES = 96
_CHUNK = 64
_FAR = 60.0  # standard errors: the tail beyond is 0 in all printed digits


@cache
def _nodes() -> tuple[_Array, _Array]:
    """Returns nodes and weights over z from -8 to 8 for the normal distribution."""
    import numpy as np

    z, weights = np.polynomial.legendre.leggauss(_NODES)
    return 8 * z, 8 * weights


def range_tail(q: float, k: int, df: float) -> float:
    """Returns P(Q > q) for k means, to about four digits."""
    import numpy as np

    return float(range_tails(np.array([q]), np.array([k]), np.array([df]))[0])


def range_tails(q: _Array, k: NDArray[np.int64], df: _Array) -> _Array:
    """Returns P(Q > q) elementwise; ``q``, ``k`` and ``df`` have one shape (n,)."""
    import numpy as np

    from sweeplens.probability.normal import normal_cdf
    from sweeplens.probability.spread import spread_nodes

    z, weights = _nodes()
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * weights
    spread, chance = spread_nodes(df)
    far = np.minimum(np.maximum(q, 0.0), _FAR)[:, None] * spread
    tails = np.empty(len(q))
    for i in range(0, len(q), _CHUNK):  # in chunks, to bound memory
        some = slice(i, i + _CHUNK)
        inside = np.clip(normal_cdf(z) - normal_cdf(z - far[some, :, None]), 0, 1) ** (k[some, None, None] - 1)
        tails[some] = 1 - (k[some, None] * (inside @ density) * chance[some]).sum(axis=1)
    return np.where(q > 0, np.clip(tails, 0.0, 1.0), 1.0)
