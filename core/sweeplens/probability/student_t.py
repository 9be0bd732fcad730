"""Student's t: quantiles and tails, in plain Python, since most answers need no numpy.

t_quantile(df, share)    the value below which t is with probability ``share``
t_tail(df, t)            the probability above ``t``
"""

from __future__ import annotations

import math
from functools import cache

from sweeplens.probability.beta import beta_fraction

__all__ = ["FURTHEST", "NORMAL_DF", "gamma_ratio", "t_quantile", "t_tail"]

NORMAL_DF = 1e13  # with more, Student's t is the normal distribution in all digits
_ENOUGH = 1e-15
FURTHEST = 1e150  # its square is still a number


@cache
def t_quantile(df: float, share: float = 0.975) -> float:
    """Returns the value below which Student's t with ``df`` degrees of freedom is with probability ``share``."""
    if not (df > 0 and 0 < share < 1):
        return math.nan
    if share < 0.5:
        return -t_quantile(df, 1 - share)
    if share == 0.5:
        return 0.0
    scale = gamma_ratio(df) / math.sqrt(df * math.pi)
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


def t_tail(df: float, t: float) -> float:
    """Returns P(T > t) for Student's t with ``df`` degrees of freedom; NaN without degrees of freedom."""
    if math.isnan(t) or not df > 0:
        return math.nan
    if t == 0:
        return 0.5
    half = _tail(min(abs(t), FURTHEST), min(df, NORMAL_DF))
    return half if t > 0 else 1 - half


def _tail(t: float, df: float) -> float:
    """Returns the probability above ``t``, for t > 0: half of the regularised incomplete beta function."""
    x = df / (df + t * t)
    a, b = df / 2, 0.5
    front = gamma_ratio(df) / math.sqrt(math.pi) * math.exp(-a * math.log1p(t * t / df)) * t / math.sqrt(df + t * t)
    if x < (a + 1) / (a + b + 2):
        return 0.5 * front * beta_fraction(x, a, b) / a
    return 0.5 * (1 - front * beta_fraction(t * t / (df + t * t), b, a) / b)


def gamma_ratio(df: float) -> float:
    """Returns gamma((df + 1) / 2) / gamma(df / 2); by its series where logarithms would lose digits."""
    if df < 100:
        return math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2))
    n = 1 / df
    series = 1 + n * (-1 / 4 + n * (1 / 32 + n * (5 / 128 + n * (-21 / 2048 + n * (-399 / 8192 + n * 869 / 65536)))))
    return math.sqrt(df / 2) * series
