"""The exponential moving average usual for training logs, bias-corrected so that it begins at the first value."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["moving_average"]


def moving_average(values: Sequence[float], weight: float, points: Sequence[float] = ()) -> list[float]:
    """Returns each value averaged with those before it; their weight falls by the factor ``weight`` a point.

    ``points``: the number of logged points behind each value (default 1), so that a curve of means over intervals is as
    smooth as one of all points.
    """
    total = share = 0.0
    smooth: list[float] = []
    for index, value in enumerate(values):
        keep = weight ** (points[index] if points else 1.0)
        total = keep * total + (1 - keep) * value
        share = keep * share + (1 - keep)
        smooth.append(total / share if share > 0 else value)
    return smooth
