"""Chooses rows that keep the shape of a curve: extremes, bends, and rows of every part. Deterministic."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["shape_keeping_rows"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def shape_keeping_rows(x: Floats, value: Floats, most: int) -> list[int]:
    """Returns at most ``most`` row numbers of a longer curve, in order of x, ascending; see `points.thin`. Nulls come as NaN."""
    finite = np.flatnonzero(np.isfinite(value))
    kept = _landmarks(value, finite)
    if len(kept) >= most:
        half = most // 2
        return kept[: most - half] + kept[len(kept) - half :]
    bends = _bends(x[finite], value[finite], np.searchsorted(finite, kept), (most - len(kept) + 1) // 2)
    kept = sorted({*kept, *(int(finite[b]) for b in bends)})
    return sorted({*kept, *_bucket_rows(value, finite, kept, most - len(kept))})


def _landmarks(value: Floats, finite: Ints) -> list[int]:
    """Returns the rows that always stay: the ends, both extremes, and both sides of each change to or from non-finite values."""
    ok = np.isfinite(value)
    flips = np.flatnonzero(ok[1:] != ok[:-1])
    kept = {0, len(value) - 1, *(int(f) for f in flips), *(int(f) + 1 for f in flips)}
    if len(finite):
        kept |= {int(finite[value[finite].argmin()]), int(finite[value[finite].argmax()])}
    return sorted(kept)


def _bends(x: Floats, y: Floats, known: Ints, room: int) -> list[int]:
    """Returns up to ``room`` positions, each the farthest from the line between its kept neighbours, farthest first."""
    if not len(y):
        return []
    bounds = sorted({0, len(y) - 1, *(min(int(k), len(y) - 1) for k in known)})
    heap = [found for a, b in pairwise(bounds) if (found := _farthest(x, y, a, b))]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < room:
        _, a, at, b = heapq.heappop(heap)
        chosen.append(at)
        for part in (_farthest(x, y, a, at), _farthest(x, y, at, b)):
            if part:
                heapq.heappush(heap, part)
    return chosen


def _farthest(x: Floats, y: Floats, a: int, b: int) -> tuple[float, int, int, int] | None:
    """Returns (-distance, a, row, b) of the row between a and b farthest from their line; None if all rows are on it."""
    if b - a < 2:
        return None
    width = x[b] - x[a]
    share = (x[a + 1 : b] - x[a]) / width if width > 0 else np.arange(1, b - a) / (b - a)
    distance = np.abs(y[a + 1 : b] / 2 - y[a] / 2 - (y[b] / 2 - y[a] / 2) * share)
    at = int(distance.argmax())
    if math.isnan(distance[at]):  # rare, and costly to exclude beforehand
        at = int(np.nan_to_num(distance).argmax())
    return (-float(distance[at]), a, a + 1 + at, b) if distance[at] > 0 else None


def _bucket_rows(value: Floats, finite: Ints, taken: Sequence[int], room: int) -> list[int]:
    """Returns one row of each of ``room`` buckets of equal width: the one farthest from its bucket's mean."""
    free = np.setdiff1d(finite, taken, assume_unique=True)
    if not len(free) or room <= 0:
        return []
    edges = np.linspace(0, len(free), min(room, len(free)) + 1).astype(int)
    parts = [free[a:b] for a, b in pairwise(edges.tolist())]
    return [int(part[np.abs(value[part] - value[part].mean()).argmax()]) for part in parts]
