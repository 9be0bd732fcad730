"""Levels and noise of one curve. Levels are medians, so a single noisy value has no influence."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from sweeplens.analyses.triage.context import ROBUST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = [
    "TurnFit",
    "block_of",
    "blocks",
    "earlier_excursion",
    "median",
    "noise",
    "smooth",
    "spread",
    "tail_level",
    "turn_of",
]

_BLOCKS, _FEWEST_IN_BLOCKS = 10, 20
_SMALL = 1024  # numbers in a matrix of windows that is kept for the next curve of the same length
_MOST_PLACES = 60  # of a turn that are tried
_CHI_SQUARED = 3.84
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


class TurnFit(Struct, frozen=True):
    """``at``: where a fitted curve turns; ``is_plausible``: whether the fit is as good if it turns at the asked place instead."""

    at: int
    is_plausible: bool


def turn_of(v: Floats, low: int, high: int, asked: int) -> TurnFit:
    """Returns the point between ``low`` and ``high`` at which a parabola and then a straight line, connected, fit best.

    The parabola follows curves whose fall slows down before they turn. The asked place is plausible unless the squares that are
    left exceed those of the best fit by the 95 % limit of chi-squared with one degree of freedom.
    """
    high = max(high, low)
    places = np.unique(np.linspace(low, high, min(high - low + 1, _MOST_PLACES)).astype(np.int64))
    inside = 0 < asked < len(v) - 1
    left = _squares_left(v, np.append(places, asked) if inside else places)
    best = int(left[: len(places)].argmin())
    noise = left[best] / max(len(v) - 5, 1)
    return TurnFit(int(places[best]), bool(inside and left[-1] - left[best] <= _CHI_SQUARED * noise))


def _squares_left(v: Floats, places: NDArray[np.int64]) -> Floats:
    """Returns the sum of squares that the fit leaves, for each place of the turn."""
    bend = (np.arange(len(v), dtype=np.float64) - places[:, None]) / len(v)
    before = np.minimum(bend, 0)
    design = np.stack([np.ones_like(bend), before, before**2, np.maximum(bend, 0)], axis=2)
    turned = design.transpose(0, 2, 1)
    fits = np.linalg.solve(turned @ design + 1e-12 * np.eye(4), (turned @ v)[:, :, None])
    return ((v - (design @ fits)[:, :, 0]) ** 2).sum(axis=1)
