"""F and beta: tails and quantiles, by the regularised incomplete beta function, which Student's t uses too.

The function is computed as a continued fraction (Lentz), as in Press et al., Numerical Recipes, 6.4.
"""

from __future__ import annotations

import math

from sweeplens.probability.invert import inverted

__all__ = ["beta_fraction", "beta_quantile", "f_quantile", "f_tail"]

_TINY = 1e-300
_ENOUGH = 4e-16
_MOST_TERMS = 20_000
_LARGE = 30.0
_STEEPEST = 700.0  # exp of it is still a number


def f_tail(df_above: float, df_below: float, f: float) -> float:
    """Returns P(F > f) for the F distribution; NaN without degrees of freedom."""
    if math.isnan(f) or not (df_above > 0 and df_below > 0):
        return math.nan
    if f <= 0 or math.isinf(f):
        return 1.0 if f <= 0 else 0.0
    ratio = df_above * f / df_below
    rest = 1.0 if math.isinf(ratio) else ratio / (1 + ratio)
    return _incomplete(df_below / 2, df_above / 2, 1 / (1 + ratio), rest)


def f_quantile(df_above: float, df_below: float, p: float) -> float:
    """Returns the f with P(F < f) = ``p``, for 0 < p < 1."""
    x = beta_quantile(df_below / 2, df_above / 2, 1 - p)
    return df_below * (1 - x) / (df_above * x) if x > 0 else math.inf


def beta_quantile(a: float, b: float, p: float) -> float:
    """Returns the x with P(X < x) = ``p``, for 0 < p < 1, for the beta distribution; NaN where ``a`` or ``b`` is not positive."""
    if not (a > 0 and b > 0):
        return math.nan

    def missing(logit: float) -> tuple[float, float]:
        x, rest = 1 / (1 + math.exp(-logit)), 1 / (1 + math.exp(logit))
        slope = math.exp(a * math.log(x) + b * math.log(rest) - _log_beta(a, b))
        return _incomplete(a, b, x, rest) - p, slope

    # searched for as log(x / (1 - x)), in which the function is smooth at both ends
    start = min(max(math.log(a / b), -_STEEPEST), _STEEPEST)
    return 1 / (1 + math.exp(-inverted(missing, start, -_STEEPEST, _STEEPEST)))


def _log_beta(a: float, b: float) -> float:
    """Returns log(gamma(a) gamma(b) / gamma(a + b)), by Stirling's series where logarithms of gamma would cancel."""
    low, high = min(a, b), max(a, b)
    if high <= _LARGE:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    change = (high - 0.5) * math.log1p(low / high) + low * math.log(high + low) - low
    return math.lgamma(low) - change - _stirling(high + low) + _stirling(high)


def _stirling(a: float) -> float:
    """Returns the rest of Stirling's formula for log(gamma(a))."""
    return 1 / (12 * a) - 1 / (360 * a**3) + 1 / (1260 * a**5) - 1 / (1680 * a**7)


def _incomplete(a: float, b: float, x: float, rest: float) -> float:
    """Returns the regularised incomplete beta function at ``x``, with ``rest`` = 1 - x in all its digits."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(a * math.log(x) + b * math.log(rest) - _log_beta(a, b))
    if x < (a + 1) / (a + b + 2):
        return front * beta_fraction(x, a, b) / a
    return 1 - front * beta_fraction(rest, b, a) / b


def beta_fraction(x: float, a: float, b: float) -> float:
    """Returns the continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + even * d or _TINY), 1 + even / c or _TINY
        value *= d * c
        d, c = 1 / (1 + odd * d or _TINY), 1 + odd / c or _TINY
        value *= d * c
        if abs(d * c - 1) <= _ENOUGH:
            break
    return value
