"""The exponential moving average that users of training logs know: bias-corrected, so that it begins at the first value."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["moving_average"]


def moving_average(values: Sequence[float], weight: float, points: Sequence[float] = ()) -> list[float]:
    """Each value averaged with those before it, whose weight falls by ``weight`` a point.

    ``points``: how many logged points stand behind each value (1 where it is not given), so that a curve of means over
    stretches is as smooth as one of all points.
    """
    total = share = 0.0
    smooth: list[float] = []
    for index, value in enumerate(values):
        keep = weight ** (points[index] if points else 1.0)
        total = keep * total + (1 - keep) * value
        share = keep * share + (1 - keep)
        smooth.append(total / share if share > 0 else value)
    return smooth
