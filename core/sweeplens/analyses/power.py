"""Sample sizes: the number of runs needed to detect a difference, and the difference that a number of runs detects.

    SideDeviations  the spread of a run on each side, or of the difference of a pair
    seeds_needed    runs a side for 80 % power, assuming the observed difference and spread are the true ones, with the
                    interval that the uncertainty of the spread alone gives
    detectable      the difference that n runs a side detect with 80 % power

Power is that of the test of the verdict (Welch's with its own degrees of freedom, or the paired t test), from the
noncentral t distribution, integrated over the distribution of the spread: `scipy.special.nctdtr` is NaN where effects are large.
"""

from __future__ import annotations

import math
from functools import lru_cache

from msgspec import Struct

from sweeplens.analyses.statistics import t_quantile
from sweeplens.probability.gamma import chi2_upper_quantile
from sweeplens.probability.normal import normal_tail

__all__ = ["MOST_SEEDS", "SeedsNeeded", "SideDeviations", "detectable", "power_of", "seeds_needed"]

POWER = 0.8
MOST_SEEDS = 10_000
_NORMAL = 7.85  # the squared sum of the quantiles of 97.5 % and 80 %


class SideDeviations(Struct, frozen=True):
    """Standard deviations of a run on each side; for a paired test that of the differences as ``a``, and ``b`` 0."""

    a: float
    b: float
    paired: bool
    df: float  # degrees of freedom of these estimates

    @property
    def total(self) -> float:
        """The standard deviation of the difference between one run of each side."""
        return math.hypot(self.a, self.b)

    def df_of(self, n: int) -> float:
        """Returns the degrees of freedom of the test with ``n`` runs a side."""
        if self.paired:
            return n - 1
        largest = max(self.a, self.b)
        if not largest > 0:
            return 2 * (n - 1)
        a, b = self.a / largest, self.b / largest  # fourth powers of tiny numbers would be 0
        return (n - 1) * (a**2 + b**2) ** 2 / (a**4 + b**4)


class SeedsNeeded(Struct, frozen=True):
    """Runs a side, and the 95 % interval from the uncertainty of the spread; None: more than 10,000."""

    n: int
    low: int
    high: int | None


def power_of(effect: float, df: float) -> float:
    """Returns the power of a two-sided t test at 5 %, given noncentrality and degrees of freedom."""
    quantile, size = t_quantile(df), abs(effect)
    return math.fsum(
        weight * (normal_tail(quantile * spread - size) + normal_tail(quantile * spread + size))
        for spread, weight in _spreads(df)
    )


@lru_cache(maxsize=10_000)
def _spreads(df: float) -> tuple[tuple[float, float], ...]:
    """Returns what the estimated spread may be, relative to the true one, with weights."""
    import numpy as np

    from sweeplens.probability.spread import spread_nodes

    spread, weights = spread_nodes(np.array([df]))
    both = zip(spread[0].tolist(), weights[0].tolist(), strict=True)
    return tuple((size, weight) for size, weight in both if weight > 1e-17)


def seeds_needed(difference: float, spreads: SideDeviations) -> SeedsNeeded | None:
    """Returns the runs needed a side; None if the spread is unknown or more than 10,000 are needed."""
    n = _seeds(difference, spreads.total, spreads)
    if n is None:
        return None
    low_sd, high_sd = (
        spreads.total * math.sqrt(spreads.df / chi2_upper_quantile(spreads.df, q)) for q in (0.025, 0.975)
    )
    return SeedsNeeded(n, _seeds(difference, low_sd, spreads) or n, _seeds(difference, high_sd, spreads))


def _seeds(difference: float, total: float, spreads: SideDeviations) -> int | None:
    if not (0 < total < math.inf and difference):
        return None
    effect = abs(difference) / total
    high, step = _rough_size(effect), 1
    while not _is_enough(effect, high, spreads):
        if high == MOST_SEEDS:
            return None
        high, step = min(high + step, MOST_SEEDS), 2 * step
    low, step = max(high - max(step // 2, 1), 1), 1
    while low > 1 and _is_enough(effect, low, spreads):
        low, high, step = max(low - step, 1), low, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_enough(effect, middle, spreads) else (middle, high)
    return high


def _rough_size(effect: float) -> int:
    """Returns about the number of runs a side that a normal distribution would need: the search begins there."""
    square = effect * effect
    return max(2, round(_NORMAL / square)) if square * MOST_SEEDS > _NORMAL else MOST_SEEDS


def _is_enough(effect: float, n: int, spreads: SideDeviations) -> bool:
    return power_of(effect * math.sqrt(n), spreads.df_of(n)) >= POWER


def detectable(n: int, spreads: SideDeviations) -> float | None:
    """Returns the difference that ``n`` runs a side detect with 80 % power, in the unit of the spreads."""
    if n < 2 or not 0 < spreads.total < math.inf:
        return None
    return _detectable_effect(n, spreads.df_of(n)) * spreads.total


@lru_cache(maxsize=10_000)
def _detectable_effect(n: int, df: float) -> float:
    """Returns the difference that ``n`` runs a side detect with 80 % power, in standard deviations."""
    root = math.sqrt(n)
    low, high = 0.0, 1.0
    while power_of(high * root, df) < POWER:
        low, high = high, high * 2
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle * root, df) >= POWER else (middle, high)
    return high
