"""Levels and noise of one curve. Levels are medians, so a single noisy value has no influence."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sweeplens.analyses.triage.context import ROBUST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["block_of", "blocks", "earlier_excursion", "hinge", "median", "noise", "smooth", "spread", "tail_level"]

_BLOCKS, _FEWEST_IN_BLOCKS = 10, 20
_SMALL = 1024  # numbers in a matrix that is kept for the next curve of the same length
_TAIL = 50  # the last level is the median of this part of the points, and at least of three


def blocks(v: Floats) -> Floats:
    """Returns the medians of ten blocks of equal length; with fewer than twenty points, the points."""
    if len(v) < _FEWEST_IN_BLOCKS:
        return v
    size, longer = divmod(len(v), _BLOCKS)
    if not longer:
        return _row_medians(v.reshape(_BLOCKS, size))
    cut = longer * (size + 1)
    parts = (v[:cut].reshape(longer, size + 1), v[cut:].reshape(_BLOCKS - longer, size))
    return np.concatenate([_row_medians(part) for part in parts if len(part)])


def block_of(v: Floats, index: int) -> Floats:
    """The points of one of the `blocks`."""
    if len(v) < _FEWEST_IN_BLOCKS:
        return v[index : index + 1]
    size, longer = divmod(len(v), _BLOCKS)
    first = index * size + min(index, longer)
    return v[first : first + size + (index < longer)]


def _row_medians(rows: Floats) -> Floats:
    """The median of each row; numpy's own takes several times as long for a few numbers."""
    ordered = np.sort(rows, axis=1)
    middle = ordered.shape[1] // 2
    return ordered[:, middle] if ordered.shape[1] % 2 else ordered[:, middle - 1] / 2 + ordered[:, middle] / 2


def median(v: Floats) -> float:
    """Returns the median of a few numbers, ten times as fast as numpy's."""
    ordered = np.sort(v)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else float(ordered[middle - 1] / 2 + ordered[middle] / 2)


def noise(v: Floats) -> float:
    """Returns the robust deviation between neighbouring points; 0 for fewer than ten points."""
    return 0.0 if len(v) < 10 else ROBUST * median(np.abs(v[1:] - v[:-1]))


def spread(v: Floats) -> float:
    """Returns the standard deviation of the noise about a slow curve, from the differences of neighbours."""
    return 0.0 if len(v) < 3 else ROBUST * median(np.abs(v[1:] - v[:-1])) / 2**0.5


def tail_level(v: Floats) -> float:
    """Returns the level at the very end."""
    return median(v[-max(len(v) // _TAIL, 3) :])


def smooth(v: Floats, width: int = 3) -> Floats:
    """Returns the running median; values at the ends are repeated."""
    if len(v) < 3:
        return v
    width = max(3, min(width, len(v))) | 1
    half = width // 2
    if width > 3 and len(v) * width <= _SMALL:
        return np.partition(v[_window_places(len(v), width)], half, axis=1)[:, half]
    padded = np.concatenate([np.full(half, v[0]), v, np.full(half, v[-1])])
    if width == 3:  # most curves are short: the median of three without a sort
        one, two = padded[:-2], padded[1:-1]
        return np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), padded[2:]))
    windows = np.lib.stride_tricks.as_strided(padded, (len(v), width), padded.strides * 2, writeable=False)
    return np.partition(windows, half, axis=1)[:, half]


@lru_cache(maxsize=64)
def _window_places(n: int, width: int) -> Ints:
    """Returns the places of the values in each window, a row each: beyond the ends, the places of the ends."""
    window = np.arange(width) - width // 2
    return np.clip(np.arange(n)[:, None] + window, 0, n - 1)


def earlier_excursion(v: Floats, until: int) -> float:
    """Returns the largest rise above the best that the curve recovered from, between the first tenth and this point."""
    part = smooth(v, max(len(v) // 25, 5))[len(v) // 10 : max(until, 0)]
    if len(part) < 3:
        return 0.0
    return float((part - np.minimum.accumulate(part)).max())


def hinge(v: Floats, low: int, high: int) -> int:
    """Returns the point between ``low`` and ``high`` at which two connected straight lines fit the values best."""
    lines = _short_lines if len(v) ** 2 <= _SMALL else _bent_lines
    places, design, square = lines(len(v), low, max(high, low))
    fits = np.linalg.solve(square, (design.transpose(0, 2, 1) @ v)[:, :, None])
    left = v - (design @ fits)[:, :, 0]
    return int(places[(left**2).sum(axis=1).argmin()])


def _bent_lines(n: int, low: int, high: int) -> tuple[Ints, Floats, Floats]:
    """Returns the places where two lines may meet, and for each the matrix of the least squares and its square."""
    few = high - low < 60
    places = np.arange(low, high + 1) if few else np.unique(np.linspace(low, high, 60).astype(np.int64))
    bend = np.arange(n, dtype=np.float64) - places[:, None]
    design = np.stack([np.ones_like(bend), np.minimum(bend, 0), np.maximum(bend, 0)], axis=2)
    return places, design, design.transpose(0, 2, 1) @ design + 1e-9 * np.eye(3)


_short_lines = lru_cache(maxsize=256)(_bent_lines)  # many runs have short curves of one length
