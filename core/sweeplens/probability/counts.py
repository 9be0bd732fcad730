"""Tests by counting: the upper tail of the hypergeometric distribution, and Mann and Whitney's test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from sweeplens.probability.normal import normal_tail

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]
    Counts: TypeAlias = NDArray[np.int64]

__all__ = ["hypergeometric_tail", "mann_whitney_p"]

_FEW = 8  # at most so many values on one side: the exact distribution
_MOST_PAIRS = 20_000  # beyond, the normal approximation is exact enough


def hypergeometric_tail(found: Counts, marked: Counts, drawn: int, total: int) -> Array:
    """Returns P(X >= found) if ``drawn`` of ``total`` items are taken and ``marked`` of them are marked.

    ``found`` has the shape (n, k), ``marked`` (n,): one number for each row of ``found``.
    """
    import numpy as np

    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    tails = np.ones(found.shape)
    for some in np.unique(marked).tolist():
        rows = marked == some
        tails[rows] = _tail_table(logs, some, drawn, total)[np.clip(found[rows], 0, drawn + 1)]
    return tails


def _tail_table(logs: Array, marked: int, drawn: int, total: int) -> Array:
    """Returns P(X >= k) for k from 0 to drawn + 1, from logarithms of factorials."""
    import numpy as np

    low, high = max(0, drawn + marked - total), min(drawn, marked)
    k = np.arange(low, high + 1)
    rest = total - marked
    chosen = logs[marked] - logs[k] - logs[marked - k] + logs[rest] - logs[drawn - k] - logs[rest - drawn + k]
    chances = np.exp(chosen - (logs[total] - logs[drawn] - logs[total - drawn]))
    table = np.zeros(drawn + 2)
    table[: low + 1] = 1.0
    table[low : high + 1] = np.minimum(np.cumsum(chances[::-1])[::-1], 1.0)
    return table


def mann_whitney_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Returns the two-sided p of Mann and Whitney's test (1947).

    Exact if a side has at most 8 values and none are equal; else normal, corrected for ties and continuity.
    """
    import numpy as np

    values = np.concatenate([np.asarray(a, np.float64), np.asarray(b, np.float64)])
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    pairs, n = len(a) * len(b), len(values)
    above = float(ranks[: len(a)].sum()) - len(a) * (len(a) + 1) / 2
    higher = max(above, pairs - above)
    if n == len(sizes) and min(len(a), len(b)) <= _FEW and pairs <= _MOST_PAIRS:
        return min(1.0, 2 * _exact_tail(len(a), len(b), pairs - round(higher)))
    ties = float((sizes.astype(np.float64) ** 3 - sizes).sum()) / (n * (n - 1))
    spread = math.sqrt(pairs / 12 * (n + 1 - ties))
    return min(1.0, 2 * normal_tail((higher - pairs / 2 - 0.5) / spread))


def _exact_tail(n: int, m: int, most: int) -> float:
    """Returns the share of the orders of n and m values with at most ``most`` pairs in the rarer direction.

    The counts of orders by pairs are the coefficients of a Gaussian binomial: a product of (1 - q^(m + i)) / (1 - q^i).
    """
    counts = [1] + [0] * most
    for i in range(1, min(n, m) + 1):
        step = max(n, m) + i
        counts = [c - (counts[k - step] if k >= step else 0) for k, c in enumerate(counts)]
        for first in range(min(i, most + 1)):
            counts[first::i] = accumulate(counts[first::i])
    return sum(counts) / math.comb(n + m, n)
