"""The settings of a sweep from best to worst, suggestions of further runs, and the difference in means that runs can detect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from msgspec import Struct

from sweeplens.analyses.statistics import t_quantile

__all__ = [
    "SettingResults",
    "Suggestion",
    "SweepSettings",
    "cell_of",
    "detectable",
    "detectable_after",
    "value_text",
    "within_budget",
]

_POWER = 0.8


class SettingResults(Struct, frozen=True):
    """One group of runs with equal hyperparameters. The sign of ``mean`` makes lower better."""

    values: tuple[object, ...]
    n: int
    mean: float
    variance: float | None


class Suggestion(Struct, frozen=True):
    reason: str
    why: str
    cells: tuple[dict[str, object], ...]  # a run each
    detectable: float | None


class SweepSettings(Struct, frozen=True):
    """The settings from best to worst, their hyperparameters, the spread, and the seeds that were used."""

    metric: str
    sign: float
    keys: tuple[str, ...]
    settings: tuple[SettingResults, ...]
    deviation: float | None
    degrees: int
    seed: str
    next_seed: int

    @property
    def usual(self) -> int:
        """Returns the usual number of runs of a setting."""
        counts = sorted(s.n for s in self.settings)
        return counts[len(counts) // 2] if counts else 1

    def shown(self, setting: SettingResults) -> str:
        return " ".join(f"{k}={value_text(v)}" for k, v in zip(self.keys, setting.values, strict=True)) or "all runs"

    def seeded(self, cell: Mapping[str, object], n: int) -> tuple[dict[str, object], ...]:
        """Returns the cell n times, each with an unused seed."""
        if not self.seed:
            return tuple(dict(cell) for _ in range(n))
        return tuple({**cell, self.seed: self.next_seed + i} for i in range(n))


def detectable(deviation: float, n_a: int, n_b: int, degrees: int) -> float | None:
    """Returns the difference in means that a two-sided t test at 5 % detects with a power of 80 %."""
    if degrees < 1 or min(n_a, n_b) < 1:
        return None
    return deviation * math.sqrt(1 / n_a + 1 / n_b) * _noncentrality(degrees)


@cache
def _noncentrality(degrees: int) -> float:
    """Returns the shift, in standard errors, at which noncentral t exceeds its limit in 80 % of cases.

    The probability is the mean, over quantiles of the estimated spread, of a normal one; scipy's noncentral t gives NaN for
    some shifts.
    """
    import numpy as np  # loaded only for suggestions

    from sweeplens.probability.normal import normal_cdf
    from sweeplens.probability.spread import spread_nodes

    spread, weights = (rows[0] for rows in spread_nodes(np.array([float(degrees)])))
    limit = t_quantile(degrees) * spread
    low, high = 0.0, float(limit.max()) + 10
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if float(weights @ normal_cdf(middle - limit)) > _POWER else (middle, high)
    return high


def cell_of(sweep: SweepSettings, setting: SettingResults) -> dict[str, object]:
    return dict(zip(sweep.keys, setting.values, strict=True))


def detectable_after(sweep: SweepSettings, n_a: int, n_b: int, more: int) -> float | None:
    """Returns the detectable difference after ``more`` runs."""
    if sweep.deviation is None:
        return None
    return detectable(sweep.deviation, n_a, n_b, sweep.degrees + more)


def value_text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "null" if value is None else str(value)


def within_budget(suggestions: Iterable[Suggestion], budget: int) -> tuple[list[Suggestion], list[Suggestion]]:
    """Returns the suggestions within the budget, in order, and the others."""
    made: list[Suggestion] = []
    dropped: list[Suggestion] = []
    for s in suggestions:
        if len(s.cells) <= budget:
            budget -= len(s.cells)
            made.append(s)
        else:
            dropped.append(s)
    return made, dropped
