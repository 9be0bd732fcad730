"""From two lists of values to a row of numbers and a sentence that claims no more than they allow.

Two tests look at each difference, and the 5 % are split between them, so that both together keep to it (a weighted
Bonferroni split; Genovese, Roeder, Wasserman 2006): paired test 1.5 % and Welch 3.5 % where runs pair by seed (seeds that
do not move both sides alike cost the paired test half of its degrees of freedom), else Welch 4 % and Mann-Whitney 1 %.
`p` is the plain p of the named test; `p_adjusted` is what the verdict rests on: the smaller share, then Holm over metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from sweeplens.analyses.noise import Spread
from sweeplens.analyses.statistics import (
    ALPHA,
    HUGE,
    MOST_SEEDS,
    TestResult,
    clearly_skewed,
    hedges_g,
    mann_whitney,
    mean,
    paired_t,
    seeds_needed,
    variance,
    welch,
    wilcoxon,
)

__all__ = ["Contrast", "contrast", "verdict"]

_PAIRED_SHARE = 0.3
_WELCH_SHARE = 0.8


class Contrast(Struct, frozen=True):
    """The two sides of one metric: values, the leading test (None where none is possible) and the one beside it."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    paired: bool
    test: TestResult | None
    other: str
    other_p: float | None
    p_joint: float | None
    effect: float | None
    seeds: int | None

    @property
    def difference(self) -> float:
        """Mean of a minus mean of b."""
        return mean(self.a) - mean(self.b)


def contrast(a: Sequence[float], b: Sequence[float], *, paired: bool, noise: Spread | None) -> Contrast:
    """Test ``a`` against ``b``; ``paired``: the values stand in the order of the pairs."""
    beside: TestResult | None = welch(a, b)
    if paired:
        test = wilcoxon(a, b) if clearly_skewed(a, b) else paired_t(a, b)
        other, other_p, share = "Welch", beside.p if beside else None, _PAIRED_SHARE
    else:
        test = beside
        other, other_p, share = "Mann-Whitney", mann_whitney(a, b) if beside else None, _WELCH_SHARE
    joint = _joint(test.p if test else None, other_p, share)
    seeds = _seeds(a, b, paired=paired and test is not None, noise=noise)
    return Contrast(
        tuple(a), tuple(b), paired, test, other if other_p is not None else "", other_p, joint, hedges_g(a, b), seeds
    )


def _joint(p: float | None, other: float | None, share: float) -> float | None:
    """One p for both tests, of which the first is given this share of the error."""
    parts = [q / s for q, s in ((p, share), (other, 1 - share)) if q is not None]
    return min(1.0, min(parts)) if parts and p is not None else None


def _seeds(a: Sequence[float], b: Sequence[float], *, paired: bool, noise: Spread | None) -> int | None:
    difference = mean(a) - mean(b)
    if paired:
        return seeds_needed(difference, math.sqrt(variance([x - y for x, y in zip(a, b, strict=True)])), paired=True)
    if len(a) > 1 and len(b) > 1:
        return seeds_needed(difference, math.sqrt((variance(a) + variance(b)) / 2))
    return seeds_needed(difference, noise.sd) if noise else None


def verdict(row: Contrast, p_adjusted: float | None, goal: str, noise: Spread | None) -> str:
    """The sentence. It begins with ``different`` only where both corrections leave p below 5 %."""
    if p_adjusted is None or row.test is None:
        return _without_test(row, noise)
    if p_adjusted < ALPHA:
        return f"different: {_better(row.difference, goal)} (p {p_adjusted:.2g} after correction)"
    low, high = row.test.low, row.test.high
    said = f"not told apart (p {p_adjusted:.2g} after correction): a - b lies between {low:.4g} and {high:.4g}"
    return said + ("" if goal == "unknown" else _more_seeds(row))


def _more_seeds(row: Contrast) -> str:
    """What would settle it; nothing where there are as many already and only the correction stands in the way."""
    if row.seeds is None:
        return f"; more than {MOST_SEEDS:,} seeds a side would be needed" if row.difference else ""
    enough = row.seeds <= min(len(row.a), len(row.b))
    return "" if enough else f"; {row.seeds} seeds a side would settle a difference of this size"


def _better(difference: float, goal: str) -> str:
    size = f"{abs(difference):.4g} {'higher' if difference > 0 else 'lower'}"
    if goal == "unknown":
        return f"a is {size}; which is better is not known"
    return f"{'a' if (difference > 0) == (goal == 'higher') else 'b'} is better, a is {size}"


def _without_test(row: Contrast, noise: Spread | None) -> str:
    size = f"difference {abs(row.difference):.4g}"
    n_a, n_b = len(row.a), len(row.b)
    if max(abs(v) for v in (*row.a, *row.b)) > HUGE:
        return "no test possible: values so large that their squares are not numbers"
    if min(n_a, n_b) > 1:
        if row.paired and row.difference:
            return f"no test possible: every pair differs by {abs(row.difference):.4g}, without any spread"
        return f"no test possible: no spread within either side, {size}"
    sides = (
        "1 run a side" if n_a == n_b == 1 else f"1 run on side {'a' if n_a == 1 else 'b'}, {max(n_a, n_b)} on the other"
    )
    if noise is None or noise.sd == 0:
        known = "nothing in this sweep was repeated" if noise is None else "repetitions in this sweep came out the same"
        return f"{sides}: no test possible, {size}; {known}, so the seed noise is not known"
    bound = noise.of_difference(n_a, n_b)
    place = "inside" if abs(row.difference) <= bound else "outside"
    return f"{sides}: no test possible, {size} is {place} the seed noise {bound:.4g} seen elsewhere in this sweep"
