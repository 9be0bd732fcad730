"""Quantiles: the argument at which an increasing function is 0, by Newton's steps within a bracket."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["inverted"]

_STEPS = 200
_ENOUGH = 1e-14


def inverted(missing: Callable[[float], tuple[float, float]], start: float, low: float, high: float) -> float:
    """Returns x in (low, high) at which an increasing function is 0. ``missing`` returns the function and its derivative.

    A step that leaves the bracket, which shrinks with every value, is replaced by its middle.
    """
    x = start
    for _ in range(_STEPS):
        value, slope = missing(x)
        if value == 0:
            break
        low, high = (x, high) if value < 0 else (low, x)
        moved = x - value / slope if slope > 0 else high
        moved = moved if low < moved < high else (low + high) / 2
        step, x = abs(moved - x), moved
        if step <= _ENOUGH * max(abs(x), 1.0):
            break
    return x
