"""Tests, intervals, effect sizes, corrections and sample sizes: numbers in, numbers out, no frames.

    interval        mean with its 95 % interval (Student's t)
    welch, paired_t, wilcoxon, mann_whitney    two samples -> `TestResult`; None where the samples allow no test
    hedges_g        standardised difference, corrected for small samples
    holm            p values -> p values that hold for the whole family
    seeds_needed    runs a side that show a difference of this size with 80 % power

Which test: the paired t test, or Wilcoxon's where the differences are clearly not normal (`clearly_skewed`), else Welch's,
which needs no equal spreads (Delacre, Lakens, Leys 2017). scipy is imported where it is used: it is slow to load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from sweeplens.frames import student_t

__all__ = [
    "ALPHA",
    "HUGE",
    "MOST_SEEDS",
    "TestResult",
    "clearly_skewed",
    "hedges_g",
    "holm",
    "interval",
    "mann_whitney",
    "mean",
    "paired_t",
    "seeds_needed",
    "t_quantile",
    "t_tail",
    "variance",
    "welch",
    "wilcoxon",
]

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 10_000
_SKEWED = 0.01
HUGE = 1e150  # beyond, squares are not numbers any more
_FEWEST_FOR_RANKS = 6


class TestResult(Struct, frozen=True):
    """A difference (first minus second), its 95 % interval, and the two-sided p of the named test."""

    test: str
    difference: float
    low: float
    high: float
    p: float


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return (
        math.fsum(v / len(values) for v in values) if max(map(abs, values)) > HUGE else math.fsum(values) / len(values)
    )


def variance(values: Sequence[float]) -> float:
    """The sample variance (ddof 1); 0 for values that are all the same."""
    if len(set(values)) == 1:
        return 0.0  # not a rounding error that a test would take for a spread
    centre = mean(values)
    return sum((v - centre) * (v - centre) for v in values) / (len(values) - 1)  # may be infinite, and then says so


def t_quantile(df: float, share: float = 1 - ALPHA / 2) -> float:
    """The quantile of Student's t."""
    return student_t.t_quantile(df, share)


def t_tail(t: float, df: float) -> float:
    """The two-sided p of a t statistic."""
    from scipy.special import stdtr

    return 2 * float(stdtr(df, -abs(t)))


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean and 95 % interval; a single value has none."""
    centre = mean(values)
    if len(values) < 2:
        return centre, None, None
    half = t_quantile(len(values) - 1) * math.sqrt(variance(values) / len(values))
    return centre, centre - half, centre + half


def welch(a: Sequence[float], b: Sequence[float]) -> TestResult | None:
    """Welch's t test; None below two values a side, or where neither side has a spread (or one past all numbers)."""
    if len(a) < 2 or len(b) < 2:
        return None
    part_a, part_b = variance(a) / len(a), variance(b) / len(b)
    if not 0 < part_a + part_b < HUGE:
        return None
    df = (part_a + part_b) ** 2 / (part_a**2 / (len(a) - 1) + part_b**2 / (len(b) - 1))
    return _of_t("Welch", mean(a) - mean(b), math.sqrt(part_a + part_b), df)


def paired_t(a: Sequence[float], b: Sequence[float]) -> TestResult | None:
    """The t test of the differences of pairs; None below two pairs, or where all differences are the same."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < 2 or _no_spread(differences) or variance(differences) > HUGE:
        return None
    error = math.sqrt(variance(differences) / len(differences))
    return _of_t("paired t", mean(differences), error, len(differences) - 1)


def _of_t(test: str, difference: float, error: float, df: float) -> TestResult:
    half = t_quantile(df) * error
    return TestResult(test, difference, difference - half, difference + half, t_tail(difference / error, df))


def _no_spread(differences: Sequence[float]) -> bool:
    """All the same, up to the rounding of a subtraction."""
    return max(differences) - min(differences) <= 1e-12 * max(map(abs, differences))


def wilcoxon(a: Sequence[float], b: Sequence[float]) -> TestResult | None:
    """Wilcoxon's signed-rank test of pairs, with the interval of the Walsh averages (Hodges, Lehmann 1963)."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < _FEWEST_FOR_RANKS or _no_spread(differences):
        return None
    from scipy import stats

    p = float(stats.wilcoxon(differences).pvalue)
    low, high = _walsh_interval(differences)
    return TestResult("Wilcoxon", mean(a) - mean(b), low, high, p)


def _walsh_interval(differences: Sequence[float]) -> tuple[float, float]:
    """The averages of all pairs of differences, cut where the signed-rank distribution leaves 2.5 % on each side."""
    n = len(differences)
    walsh = sorted((differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n))
    mid, spread = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    cut = (_signed_rank_cut(n) if n <= 50 else int(mid - 1.959964 * spread)) - 1
    return walsh[cut], walsh[len(walsh) - 1 - cut]


def _signed_rank_cut(n: int) -> int:
    """The largest k with P(T < k) at most 2.5 %, by counting sign patterns."""
    counts = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for total in range(len(counts) - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    below, k = 0, 0
    while below + counts[k] <= ALPHA / 2 * 2**n:
        below += counts[k]
        k += 1
    return k


def clearly_skewed(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the differences of pairs are clearly not normal: Shapiro and Wilk's p below 1 %, from six pairs on.

    With fewer pairs neither can this be seen, nor could Wilcoxon's p fall below 5 %.
    """
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < _FEWEST_FOR_RANKS or _no_spread(differences):
        return False
    from scipy import stats

    return float(stats.shapiro(differences[:5000]).pvalue) < _SKEWED


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The two-sided p of Mann and Whitney's test (exact for small samples without ties); None below two values a side."""
    if len(a) < 2 or len(b) < 2 or len({*a, *b}) == 1:
        return None
    from scipy import stats

    return float(stats.mannwhitneyu(a, b).pvalue)


def hedges_g(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The difference in pooled standard deviations, times Hedges' correction 1 - 3 / (4 df - 1); None without a spread."""
    if len(a) < 2 or len(b) < 2:
        return None
    df = len(a) + len(b) - 2
    pooled = math.sqrt(((len(a) - 1) * variance(a) + (len(b) - 1) * variance(b)) / df)
    return (mean(a) - mean(b)) / pooled * (1 - 3 / (4 * df - 1)) if 0 < pooled < math.inf else None


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (1979): each is the smallest family-wise level at which it would be rejected."""
    tested = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for done, (p, index) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - done)))
        adjusted[index] = highest
    return adjusted


def seeds_needed(difference: float, sd: float, *, paired: bool = False) -> int | None:
    """Runs a side for 80 % power at two-sided 5 %, were this difference and spread the true ones.

    ``sd`` is of one run, or of the differences when paired. None where more than 10,000 would be needed.
    """
    if not (0 < sd < math.inf and difference):
        return None
    effect = abs(difference) / sd
    low, high = 1, 2
    while _power(effect, high, paired) < POWER:
        low, high = high, high * 2
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(effect, middle, paired) >= POWER else (middle, high)
    return high if high <= MOST_SEEDS else None


def _power(effect: float, n: int, paired: bool) -> float:
    """The power of the t test with ``n`` runs a side, by the noncentral t distribution."""
    from scipy.special import nctdtr

    df = n - 1 if paired else 2 * n - 2
    shift = effect * math.sqrt(n if paired else n / 2)
    if shift > 35:
        return 1.0  # far beyond, where the distribution function loses its digits
    edge = t_quantile(df)
    return 1 - float(nctdtr(df, shift, edge)) + float(nctdtr(df, shift, -edge))
