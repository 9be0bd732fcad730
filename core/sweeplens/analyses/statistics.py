"""Tests, intervals, effect sizes and corrections on plain numbers. Sample sizes are in `power`.

    interval                  mean with its 95 % interval (Student's t)
    welch, paired_t           two samples -> `TestResult`; None where the samples allow no test
    exact_apart               the p of two samples of different constants
    mann_whitney              the p of a rank test: a claim about P(a > b) only
    pairing_increases_power   whether values of pairs correlate, so that a paired test gains power
    equal_within              the p of two one-sided tests: are the means within delta of each other?
    hedges_g                  standardised difference, corrected for small samples
    holm                      p values -> p values that hold for the whole family

The primary test is Welch's, which does not assume equal spreads (Delacre, Lakens, Leys 2017), or the paired t test where
pairs correlate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from sweeplens.probability import beta, gamma, student_t
from sweeplens.probability.counts import mann_whitney_p

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "ALPHA",
    "HUGE",
    "TestResult",
    "chi2_tail",
    "equal_within",
    "exact_apart",
    "f_tail",
    "hedges_g",
    "holm",
    "interim_alpha",
    "interval",
    "mann_whitney",
    "mean",
    "paired_t",
    "pairing_increases_power",
    "superiority",
    "t_quantile",
    "t_tail",
    "variance",
    "welch",
]

ALPHA = 0.05
_INTERIM = ((0.0, ALPHA), (1 / 15, ALPHA / 2), (0.2, ALPHA / 5), (1.0, ALPHA / 20))
"""The share of runs still running up to which a limit holds, and the limit (twenty looks; the last by Bonferroni)."""
_PAIRED = 0.025
HUGE = 1e150  # squares of larger values overflow


class TestResult(Struct, frozen=True):
    """A difference (first minus second), its 95 % interval, the two-sided p of the named test, its standard error."""

    test: str
    difference: float
    low: float
    high: float
    p: float
    error: float
    df: float


def mean(values: Sequence[float]) -> float:
    """Returns the arithmetic mean."""
    return (
        math.fsum(v / len(values) for v in values) if max(map(abs, values)) > HUGE else math.fsum(values) / len(values)
    )


def variance(values: Sequence[float]) -> float:
    """Returns the sample variance (ddof 1); exactly 0 for equal values."""
    if len(set(values)) == 1:
        return 0.0  # without rounding errors
    centre = mean(values)
    return sum([(v - centre) * (v - centre) for v in values]) / (len(values) - 1)  # may be infinite


def interim_alpha(running: float) -> float:
    """Returns the limit for p where this share of the runs is still running: such results are read again and again."""
    return next(alpha for most, alpha in _INTERIM if running <= most)


def t_quantile(df: float, share: float = 1 - ALPHA / 2) -> float:
    """Returns the quantile of Student's t."""
    return student_t.t_quantile(df, share)


def t_tail(t: float, df: float) -> float:
    """Returns the two-sided p of a t statistic."""
    return 2 * student_t.t_tail(float(df), abs(float(t)))  # numpy's numbers warn where Python's do not


def f_tail(f: float, df_above: float, df_below: float) -> float:
    """Returns the p of an F statistic."""
    return beta.f_tail(float(df_above), float(df_below), float(f))


def chi2_tail(statistic: float, df: float) -> float:
    """Returns the p of a chi-square statistic."""
    return gamma.chi2_tail(float(df), float(statistic))


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Returns mean and 95 % interval (Student's t); None as bounds for a single value."""
    centre = mean(values)
    if len(values) < 2:
        return centre, None, None
    half = t_quantile(len(values) - 1) * math.sqrt(variance(values) / len(values))
    return centre, centre - half, centre + half


def welch(a: Sequence[float], b: Sequence[float]) -> TestResult | None:
    """Runs Welch's t test (1947); None below two values a side, without a spread, or if it overflows."""
    if len(a) < 2 or len(b) < 2:
        return None
    part_a, part_b = variance(a) / len(a), variance(b) / len(b)
    if not 0 < part_a + part_b < HUGE:
        return None
    share_a, share_b = part_a / (part_a + part_b), part_b / (part_a + part_b)  # squares of tiny parts would be 0
    df = 1 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    return _of_t("Welch", mean(a) - mean(b), math.sqrt(part_a + part_b), df)


def paired_t(a: Sequence[float], b: Sequence[float]) -> TestResult | None:
    """Runs the t test of paired differences (Student 1908); None below two pairs, or if all differences are equal."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < 2 or _no_spread(differences) or not 0 < variance(differences) <= HUGE:
        return None
    error = math.sqrt(variance(differences)) / math.sqrt(len(differences))  # the quotient of a tiny variance would be 0
    return _of_t("paired t", mean(differences), error, len(differences) - 1)


def _of_t(test: str, difference: float, error: float, df: float) -> TestResult:
    half = t_quantile(df) * error
    return TestResult(test, difference, difference - half, difference + half, t_tail(difference / error, df), error, df)


def _no_spread(differences: Sequence[float]) -> bool:
    """Whether all are equal up to the rounding of a subtraction."""
    return max(differences) - min(differences) <= 1e-12 * max(map(abs, differences))


def exact_apart(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Returns the p of Fisher's exact permutation test of two samples of different constants; None with any spread."""
    if min(len(a), len(b)) < 2 or len(set(a)) > 1 or len(set(b)) > 1 or a[0] == b[0]:
        return None
    return min(1.0, 2 / math.comb(len(a) + len(b), len(a)))


def pairing_increases_power(
    a: Sequence[float] | NDArray[np.float64], b: Sequence[float] | NDArray[np.float64], means: int = 1
) -> tuple[bool, float | None]:
    """Returns whether pairs correlate significantly (one-sided p of Pearson's r below 2.5 %), and the correlation.

    ``means``: the number of means that were subtracted from the values. Equal seed numbers of different algorithms share nothing:
    then Welch's test has twice the degrees of freedom.
    """
    import numpy as np

    n = len(a)
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    df = n - 1 - means
    if df < 1 or x.min() == x.max() or y.min() == y.max():
        return False, None
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = x - x.mean(), y - y.mean()
        spread = math.sqrt(float((x * x).sum()) * float((y * y).sum()))  # a product of vectors would wait in threads
    if not 0 < spread < HUGE:
        return False, None
    r = float((x * y).sum()) / spread
    if r >= 1 - 1e-12:
        return True, 1.0
    t = r * math.sqrt(df / (1 - r * r)) if r > 0 else 0.0
    return t > 0 and t_tail(t, df) / 2 < _PAIRED, r


def equal_within(test: TestResult, delta: float) -> float:
    """Returns the larger p of two one-sided tests that the difference lies between -delta and delta (Schuirmann 1987)."""
    if not delta > 0 or not test.error > 0:
        return 1.0
    lower, upper = (test.difference + delta) / test.error, (delta - test.difference) / test.error
    tails = ((t, t_tail(t, test.df) / 2) for t in (lower, upper))
    return max(p if t > 0 else 1 - p for t, p in tails)


def superiority(a: Sequence[float], b: Sequence[float]) -> float:
    """Returns the share of pairs (one of a, one of b) in which a is higher; ties count half."""
    import numpy as np

    ordered = np.sort(np.asarray(b, np.float64))
    wanted = np.asarray(a, np.float64)
    below = sum(int(np.searchsorted(ordered, wanted, side).sum()) for side in ("left", "right"))
    return below / (2 * len(a) * len(b))


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Returns the two-sided p of Mann and Whitney's test (1947; exact for small samples without ties).

    None below two values a side, or if all values are equal.
    """
    if len(a) < 2 or len(b) < 2 or len({*a, *b}) == 1:
        return None
    return mann_whitney_p(a, b)


def hedges_g(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Returns the difference in pooled standard deviations, times 1 - 3 / (4 df - 1) (Hedges 1981); None without a spread."""
    if len(a) < 2 or len(b) < 2:
        return None
    df = len(a) + len(b) - 2
    pooled = math.sqrt(((len(a) - 1) * variance(a) + (len(b) - 1) * variance(b)) / df)
    return (mean(a) - mean(b)) / pooled * (1 - 3 / (4 * df - 1)) if 0 < pooled < math.inf else None


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Returns p values corrected by Holm's step-down method (1979): the smallest family-wise level that rejects each."""
    tested = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for done, (p, index) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - done)))
        adjusted[index] = highest
    return adjusted
