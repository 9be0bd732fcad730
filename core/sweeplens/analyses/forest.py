"""Permutation importance in a random forest, measured on held-out runs.

Each tree has random cuts (`sweeplens.native.trees`), learns from a bootstrap sample of the runs and predicts the others. Each
column's values are then resampled from all runs and the prediction repeated. The increase of the squared error, over twice the
variance, is the column's total share of the variance, interactions included (permutation importance: Breiman 2001; as total
Sobol index: Gregorutti, Michel, Saint-Pierre 2017). A column of noise has a share near zero, since no tree predicts its own
training runs. Values enter by rank, so a learning rate and its logarithm are equivalent.

Of more than `MOST_RUNS` runs a random sample of that size, with a fixed seed, is used. Runs are put in the order of their columns
and values before anything is drawn, so the result depends neither on their names nor on their order.

The interval resamples runs (percentile bootstrap over each run's part of the increase) and keeps the forest fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from sweeplens.cancellation import checkpoint
from sweeplens.native.trees import grow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

__all__ = ["MOST_RUNS", "VarianceShares", "sample_text", "shares_of_spread"]

MOST_RUNS = 5_000
_FEW = 200
_TREES_FEW, _TREES_MANY = 128, 64
_RESAMPLES = 1000
_SEED = 20240229


class VarianceShares(Struct, frozen=True):
    """Each column's share of the variance (0 to 1) with its 95 % interval, and the forest's R2 on held-out runs."""

    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    held_out_r2: float


def shares_of_spread(columns: Sequence[Sequence[float]], values: Sequence[float]) -> VarianceShares:
    """Returns shares of the variance of ``values`` (at least five, not all equal) by columns of ranks, one rank a run.

    Deterministic: the seed is fixed.
    """
    import numpy as np

    x, y = _ordered_sample(np.array(columns, dtype=np.float64).T, _rounded(np.array(values, dtype=np.float64)))
    rises, held_out_r2 = _rises(x, y, np.random.default_rng(_SEED))
    spread = 2 * float(y.var())
    low, high = _interval(rises, y, np.random.default_rng(_SEED))
    return VarianceShares(_shares(rises.mean(axis=0) / spread), _shares(low), _shares(high), held_out_r2)


def _rounded(y: Array) -> Array:
    """Returns values in units of their spread, rounded: an engine that adds in another order changes digits beyond, and no tree."""
    import numpy as np

    shares = y / np.abs(y).max()  # whose mean does not overflow
    with np.errstate(all="ignore"):
        scaled: Array = (shares - float(shares.mean())) / float(shares.std())
    return scaled.round(9) if np.isfinite(scaled).all() else shares


def _ordered_sample(x: Array, y: Array) -> tuple[Array, Array]:
    """Returns the runs in order of their columns and values; of very many, a sample."""
    import numpy as np

    order = np.lexsort((y, *x.T[::-1]))
    if len(order) > MOST_RUNS:
        drawn = np.random.default_rng(_SEED).choice(len(order), MOST_RUNS, replace=False)
        order = order[np.sort(drawn)]
    return x[order], y[order]


def sample_text(runs: int) -> str:
    """Returns what an answer says about the sample; empty if all runs are used."""
    if runs <= MOST_RUNS:
        return ""
    return f"importance from a random sample of {MOST_RUNS:,} of {runs:,} runs (fixed seed); all else from every run"


def _shares(values: Array) -> tuple[float, ...]:
    return tuple(min(1.0, max(0.0, float(v))) for v in values)


def _rises(x: Array, y: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """Returns the mean increase of the squared error (runs x columns) over trees that did not train on the run, and held-out R2."""
    import numpy as np

    n, p = len(x), len(x[0])
    kept = x.astype(np.float32)  # as trees keep it
    trees, leaf = (_TREES_FEW, 1) if n < _FEW else (_TREES_MANY, 3)
    rises, sums, seen = np.zeros((n, p)), np.zeros(n), np.zeros(n)
    for _ in range(trees):
        checkpoint()
        drawn = rng.integers(0, n, size=n)
        out = np.flatnonzero(np.bincount(drawn, minlength=n) == 0)
        if not len(out):
            continue
        predict = grow(kept[drawn], y[drawn], leaf=leaf, seed=int(rng.integers(1 << 31)))
        plain = predict(kept[out])
        asked = np.repeat(kept[out][None], p, axis=0)
        for column in range(p):
            asked[column, :, column] = kept[rng.integers(0, n, size=len(out)), column]
        changed = predict(asked.reshape(-1, p)).reshape(p, -1)
        rises[out] += ((changed - y[out]) ** 2 - (plain - y[out]) ** 2).T
        sums[out] += plain
        seen[out] += 1
    times = np.maximum(seen, 1)
    known = seen > 0
    error = ((sums[known] / times[known] - y[known]) ** 2).mean()
    return rises / times[:, None], max(0.0, 1 - float(error) / float(y.var()))


def _interval(rises: Array, y: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Returns the 2.5 % and 97.5 % quantiles of the shares over resampled runs."""
    import numpy as np

    n = len(y)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(np.float64) / n
    spread = weights @ y**2 - (weights @ y) ** 2
    kept = spread > 1e-12 * y.var()
    shares = (weights[kept] @ rises) / (2 * spread[kept])[:, None]
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    return low, high
