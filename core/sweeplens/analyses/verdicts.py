"""Tests two lists of values against each other and words the result.

The primary test is the paired t test where runs are paired and correlate (`pairing_increases_power`), else Welch's, at the full
5 %. Two sides without any spread get the exact permutation test. Direction, interval and verdict come from the same
test: the verdict is never `different` while the interval holds 0. A rank test is reported beside it. It is about the
probability that a run of a is above a run of b, and never decides on means.

Sides without a significant difference are either equal within delta (two one-sided tests at 5 %, so a 90 % interval within it)
or have too few seeds. Then the detectable difference is named, but no number of seeds, because the effect is unknown. Where
nothing says which difference matters, delta is the spread of one run. Sides within it are not called equal: the verdict says that
they differ by no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from sweeplens.analyses.noise import Spread
from sweeplens.analyses.power import SeedsNeeded, SideDeviations, detectable, seeds_needed
from sweeplens.analyses.statistics import (
    ALPHA,
    HUGE,
    TestResult,
    equal_within,
    exact_apart,
    hedges_g,
    mann_whitney,
    mean,
    paired_t,
    pairing_increases_power,
    superiority,
    t_quantile,
    variance,
    welch,
)

__all__ = ["Contrast", "Delta", "blocked_contrast", "contrast", "verdict"]

_FEWEST_SEEDS = 5
"""Total number of runs below which no number of seeds is advised."""


class Delta(Struct, frozen=True):
    """The largest difference that counts as equal, and where it comes from; ``is_spread``: from the spread of runs alone."""

    value: float
    reason: str
    is_spread: bool = False


class Contrast(Struct, frozen=True):
    """The two sides of one metric: values, the primary test (None where none is possible), and a secondary test."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    pairs: bool  # the values are in the order of pairs
    correlation: float | None
    test: TestResult | None
    exact: float | None
    other_test: str
    other_p: float | None
    effect: float | None
    seeds: SeedsNeeded | None
    detectable: float | None

    @property
    def difference(self) -> float:
        """Returns the mean of a minus the mean of b; with strata as blocks, pooled over them."""
        return self.test.difference if self.test else mean(self.a) - mean(self.b)

    @property
    def p(self) -> float | None:
        """Returns the p of the primary test."""
        return self.test.p if self.test else self.exact

    @property
    def name(self) -> str:
        """Returns the name of the primary test."""
        return self.test.test if self.test else "none" if self.exact is None else "exact permutation"

    @property
    def superiority(self) -> float:
        """Returns the share of pairs of runs in which a is higher."""
        return superiority(self.a, self.b)


def contrast(a: Sequence[float], b: Sequence[float], *, paired: bool, noise: Spread | None) -> Contrast:
    """Tests ``a`` against ``b``; ``paired``: the values are in the order of the pairs."""
    is_paired, correlation = pairing_increases_power(a, b) if paired else (False, None)
    test = (paired_t(a, b) if is_paired else None) or welch(a, b)
    exact = None if test else exact_apart(a, b)
    exact = exact if exact is not None and exact < ALPHA else None  # with fewer runs it cannot be significant
    is_paired = test is not None and test.test == "paired t"
    other, other_p = _beside(a, b, test, paired=paired)
    spreads = _spreads(a, b, noise, paired=is_paired)
    few = len(a) + len(b) < _FEWEST_SEEDS
    advised = spreads is not None and not few and test is not None and not test.low <= 0 <= test.high
    seeds = seeds_needed(mean(a) - mean(b), spreads) if advised and spreads else None
    shown = detectable(min(len(a), len(b)), spreads) if spreads and not few else None
    return Contrast(tuple(a), tuple(b), paired, correlation, test, exact, other, other_p, hedges_g(a, b), seeds, shown)


def _beside(
    a: Sequence[float], b: Sequence[float], test: TestResult | None, *, paired: bool
) -> tuple[str, float | None]:
    """Returns the secondary test: the other of Welch's and the paired one, or Mann and Whitney's."""
    if test is None:
        return "", None
    if paired:
        beside = welch(a, b) if test.test == "paired t" else paired_t(a, b)
        return (beside.test, beside.p) if beside else ("", None)
    p = mann_whitney(a, b)
    return ("Mann-Whitney" if p is not None else "", p)


def blocked_contrast(a: Sequence[float], b: Sequence[float], test: TestResult, sd: float) -> Contrast:
    """Contrasts two sides within strata: ``test`` of the pooled difference, ``sd`` of a run within its cell."""
    spreads = SideDeviations(sd, sd, paired=False, df=test.df)
    few = len(a) + len(b) < _FEWEST_SEEDS
    seeds = seeds_needed(test.difference, spreads) if not few and not test.low <= 0 <= test.high else None
    shown = None if few else detectable(min(len(a), len(b)), spreads)
    effect = test.difference / sd if sd else None
    return Contrast(tuple(a), tuple(b), False, None, test, None, "", None, effect, seeds, shown)


def _spreads(a: Sequence[float], b: Sequence[float], noise: Spread | None, *, paired: bool) -> SideDeviations | None:
    if paired:
        sd = math.sqrt(variance([x - y for x, y in zip(a, b, strict=True)]))
        return SideDeviations(sd, 0.0, paired=True, df=len(a) - 1)
    if len(a) > 1 and len(b) > 1:
        own = [math.sqrt(variance(side)) for side in (a, b)]
        return SideDeviations(own[0], own[1], paired=False, df=len(a) + len(b) - 2)
    return SideDeviations(noise.sd, noise.sd, paired=False, df=noise.df) if noise else None


def verdict(
    row: Contrast,
    p_adjusted: float | None,
    goal: str,
    noise: Spread | None,
    delta: Delta | None = None,
    *,
    alpha: float = ALPHA,
    on_average: bool = False,
) -> str:
    """Returns the verdict. It begins with ``different`` only if the (corrected) p of the primary test is below ``alpha``.

    ``alpha`` is below 5 % where runs are still running (`interim_alpha`), which allows for repeated looks. ``on_average``: strata
    disagree, so that sides are equal over all of them at most.
    """
    if p_adjusted is None or row.p is None:
        return _without_test(row, noise)
    p = f"p {p_adjusted:.2g}{' by Holm' * (p_adjusted > row.p)}, {row.name}"
    if p_adjusted < alpha:
        so_far = " so far" * (alpha < ALPHA)
        return f"different{so_far}: {_better(row.difference, goal)} ({p})"
    if p_adjusted < ALPHA:
        limit = f"while runs are running only p below {alpha:g} counts, because results are read more than once"
        return f"not told apart so far ({p}): {_better(row.difference, goal)} now, but {limit}"
    if row.test is None:
        return f"not told apart ({p})"
    low, high = row.test.low, row.test.high
    said = f"not told apart ({p}): a - b lies between {low:.4g} and {high:.4g}"
    if row.p < ALPHA:
        return f"{said}; significant if it were the only metric asked for"
    if delta and equal_within(row.test, delta.value) < ALPHA:
        return _equal(row.test, delta, p_adjusted, " on average, as strata disagree" * on_average)
    return said + ("" if goal == "unknown" else _too_few(row)) + _ranks(row)


def _equal(test: TestResult, delta: Delta, p: float, over_strata: str) -> str:
    """Words a difference whose whole 90 % interval lies within delta; the spread of a run is a bound, but no margin of equality."""
    half = t_quantile(test.df, 1 - ALPHA) * test.error
    interval = f"the 90 % interval of a - b is {test.difference - half:.4g} to {test.difference + half:.4g}"
    if delta.is_spread:
        bound = f"no difference larger than {delta.reason} ({delta.value:.4g}){over_strata}"
        return f"not told apart (p {p:.2g}, {test.test}): {bound}, {interval}"
    return f"equal within {delta.value:.4g} ({delta.reason}){over_strata}: {interval}"


def _too_few(row: Contrast) -> str:
    n = f"{len(row.a)} and {len(row.b)}" if len(row.a) != len(row.b) else f"{len(row.a)}"
    shown = f": {n} a side detect {row.detectable:.3g} at 80 % power" if row.detectable else ""
    return f"; too few seeds{shown}"


def _ranks(row: Contrast) -> str:
    """Returns the claim of a significant rank test."""
    if row.other_p is None or row.other_p >= ALPHA or row.other_test != "Mann-Whitney":
        return ""
    share = row.superiority
    side = "a" if share > 0.5 else "b"
    return f"; but a run of {side} is the higher one in {max(share, 1 - share):.0%} of pairs (Mann-Whitney, p {row.other_p:.2g})"


def _better(difference: float, goal: str) -> str:
    size = f"{abs(difference):.4g} {'higher' if difference > 0 else 'lower'}"
    if goal == "unknown":
        return f"a is {size}; goal unknown"
    return f"{'a' if (difference > 0) == (goal == 'higher') else 'b'} is better, a is {size}"


def _without_test(row: Contrast, noise: Spread | None) -> str:
    size = f"difference {abs(row.difference):.4g}"
    n_a, n_b = len(row.a), len(row.b)
    if max(abs(v) for v in (*row.a, *row.b)) > HUGE:
        return "no test possible: the squares of these values overflow"
    if min(n_a, n_b) > 1:
        return f"no test possible: no spread within either side, {size}"
    sides = (
        "1 run a side" if n_a == n_b == 1 else f"1 run on side {'a' if n_a == 1 else 'b'}, {max(n_a, n_b)} on the other"
    )
    if noise is None or noise.sd == 0:
        known = "this sweep has no repeated runs" if noise is None else "repeated runs in this sweep are identical"
        return f"{sides}: no test possible, {size}; {known}, so the seed noise is unknown"
    bound = noise.of_difference(n_a, n_b)
    place = "inside" if abs(row.difference) <= bound else "outside"
    return f"{sides}: no test possible, {size} is {place} the seed noise {bound:.4g} of this sweep"
