"""Quantiles of Student's t without scipy, whose import would take most of the time of an answer.

t_quantile(df, share)    equal to `scipy.special.stdtrit` to twelve digits
"""

from __future__ import annotations

import math
from functools import cache

__all__ = ["t_quantile"]

_TINY = 1e-300
_ENOUGH = 1e-15


@cache
def t_quantile(df: float, share: float = 0.975) -> float:
    """Returns the value below which Student's t with ``df`` degrees of freedom is with probability ``share``."""
    if not (df > 0 and 0 < share < 1):
        return math.nan
    if share < 0.5:
        return -t_quantile(df, 1 - share)
    if share == 0.5:
        return 0.0
    scale = _gamma_ratio(df) / math.sqrt(df * math.pi)
    tail = 1 - share
    t = min(
        1.0, (share - 0.5) / scale
    )  # starts below the quantile, where Newton's steps on the convex tail never overshoot
    for _ in range(200):
        density = scale * math.exp(-(df + 1) / 2 * math.log1p(t * t / df))
        step = (_tail(t, df) - tail) / density
        t += step
        if step <= _ENOUGH * t:  # steps only go up, so a step back is rounding
            break
    return t


def _tail(t: float, df: float) -> float:
    """Returns the probability above ``t``, for t > 0: half of the regularised incomplete beta function."""
    x = df / (df + t * t)
    a, b = df / 2, 0.5
    front = _gamma_ratio(df) / math.sqrt(math.pi) * math.exp(-a * math.log1p(t * t / df)) * t / math.sqrt(df + t * t)
    if x < (a + 1) / (a + b + 2):
        return 0.5 * front * _fraction(x, a, b) / a
    return 0.5 * (1 - front * _fraction(t * t / (df + t * t), b, a) / b)


def _gamma_ratio(df: float) -> float:
    """Returns gamma((df + 1) / 2) / gamma(df / 2); by its series where logarithms would lose digits."""
    if df < 100:
        return math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2))
    n = 1 / df
    series = 1 + n * (-1 / 4 + n * (1 / 32 + n * (5 / 128 + n * (-21 / 2048 + n * (-399 / 8192 + n * 869 / 65536)))))
    return math.sqrt(df / 2) * series


def _fraction(x: float, a: float, b: float) -> float:
    """Returns the continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + even * d or _TINY), 1 + even / c or _TINY
        value *= d * c
        d, c = 1 / (1 + odd * d or _TINY), 1 + odd / c or _TINY
        value *= d * c
        if abs(d * c - 1) <= _ENOUGH:
            break
    return value
