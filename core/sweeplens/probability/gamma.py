"""Chi-square: `chi2_tail` and `chi2_upper_quantile`, by the regularised incomplete gamma function.

The function is summed as a series below its mean and as a continued fraction (Lentz) above, as in Press et al., Numerical
Recipes, 6.2. Above 200,000 degrees of freedom the cube root is taken as normal (Wilson and Hilferty 1931), which is then right to
about eight digits.
"""

from __future__ import annotations

import math

from sweeplens.probability.invert import inverted
from sweeplens.probability.normal import normal_quantile, normal_tail

__all__ = ["chi2_tail", "chi2_upper_quantile"]

_TINY = 1e-300
_ENOUGH = 4e-16
_MOST_TERMS = 20_000
_LARGE = 30.0
_NEARLY_NORMAL = 1e5  # half of the degrees of freedom


def chi2_tail(df: float, x: float) -> float:
    """Returns P(X > x) for chi-square with ``df`` degrees of freedom; NaN without degrees of freedom."""
    return _both_tails(df / 2, x / 2)[1]


def chi2_upper_quantile(df: float, p: float) -> float:
    """Returns the x with P(X > x) = ``p``, for 0 < p < 1, for chi-square with ``df`` > 0 degrees of freedom."""
    a = df / 2
    start = _first_guess(a, p)
    if a > _NEARLY_NORMAL:
        return 2 * start
    matched = 0 if p > 0.5 else 1  # the smaller tail, since it keeps its digits
    target = min(p, 1 - p)

    def missing(log_x: float) -> tuple[float, float]:
        x = math.exp(log_x)
        tail = _both_tails(a, x)[matched]
        gap = math.log(tail / target) * tail if tail > 0 else -target  # logarithms of tails are nearly straight
        return (-gap if matched else gap), math.exp(_log_front(a, x))

    return 2 * math.exp(inverted(missing, math.log(start), -745.0, 709.0))


def _first_guess(a: float, upper: float) -> float:
    """Returns Wilson and Hilferty's approximation, or the first term of the series near 0."""
    cube = 1 - 1 / (9 * a) - normal_quantile(upper) / (3 * math.sqrt(a))
    if cube > 0.3:
        return a * cube**3
    return max(math.exp(max((math.log1p(-upper) + math.lgamma(a + 1)) / a, -700.0)), _TINY)


def _both_tails(a: float, x: float) -> tuple[float, float]:
    """Returns P(a, x) and Q(a, x)."""
    if math.isnan(a) or math.isnan(x) or a <= 0:
        return math.nan, math.nan
    if x <= 0 or math.isinf(x):
        return (0.0, 1.0) if x <= 0 else (1.0, 0.0)
    if a > _NEARLY_NORMAL:
        z = (math.cbrt(x / a) - 1 + 1 / (9 * a)) * 3 * math.sqrt(a)
        return normal_tail(-z), normal_tail(z)
    front = math.exp(_log_front(a, x))
    if x < a + 1:
        lower = front * _series(a, x)
        return lower, 1 - lower
    upper = front * _fraction(a, x)
    return 1 - upper, upper


def _log_front(a: float, x: float) -> float:
    """Returns log(x^a e^-x / gamma(a)); for a large ``a`` about its maximum, where the terms would cancel."""
    if a <= _LARGE:
        return a * math.log(x) - x - math.lgamma(a)
    away = (x - a) / a
    correction = 1 / (12 * a) - 1 / (360 * a**3) + 1 / (1260 * a**5)  # Stirling's
    ratio = math.log1p(away) if away > -0.5 else math.log(x) - math.log(a)
    return a * (ratio - away) + 0.5 * math.log(a / (2 * math.pi)) - correction


def _series(a: float, x: float) -> float:
    """Returns P(a, x) gamma(a) / (x^a e^-x)."""
    term = total = 1 / a
    for n in range(1, _MOST_TERMS):
        term *= x / (a + n)
        total += term
        if term <= _ENOUGH * total:
            break
    return total


def _fraction(a: float, x: float) -> float:
    """Returns Q(a, x) gamma(a) / (x^a e^-x)."""
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / (b or _TINY)
    value = d
    for n in range(1, _MOST_TERMS):
        step = -n * (n - a)
        b += 2
        d = 1 / (step * d + b or _TINY)
        c = b + step / c or _TINY
        value *= c * d
        if abs(c * d - 1) <= _ENOUGH:
            break
    return value
