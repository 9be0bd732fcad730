"""What detectors look at, and what they say: `DetectionContext` and `Finding`.

Detectors first read the series frame. Those that need a curve find it in `DetectionContext.curves`,
which holds the standing, finite points of the series that `curves` picked, each series a slice of plain arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
from msgspec import Struct, field

from sweeplens.config import Thresholds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["ROBUST", "SEVERITIES", "Curve", "DetectionContext", "Finding", "number"]

ROBUST = 1.4826  # median absolute deviation -> standard deviation of a normal distribution
SEVERITIES = ("high", "medium", "low")


def _no_shifts() -> pl.DataFrame:
    """The frame of `describe_shifts` without rows, with the names of the series."""
    numbers = dict.fromkeys(("last_before", "first_after", "before", "after"), pl.Float64)
    return pl.DataFrame(
        schema={
            "run_id": pl.String,
            "metric": pl.String,
            "goal": pl.String,
            "step": pl.Int64,
            "step_before": pl.Int64,
            **numbers,
        }
    )


class Finding(Struct, frozen=True):
    """One thing that is wrong with one run. ``metric`` is empty and ``step`` None where they say nothing."""

    run_id: str
    finding: str
    severity: str
    metric: str
    step: int | None
    evidence: str


class Curve(Struct, frozen=True):
    """One series: steps, values so turned that lower is better, values as logged, seconds since the first point."""

    run_id: str
    metric: str
    goal: str
    steps: Ints
    worse: Floats
    values: Floats
    seconds: Floats | None


class DetectionContext(Struct, frozen=True):
    """Runs with what is known of them.

    ``series`` has, beside its own columns, ``goal``, ``n_finite``, the run's ``run_last`` step, and ``w_first``, ``w_last``,
    ``w_best``, ``w_best_step``: values so turned that lower is better, null where the goal is not known.
    """

    runs: pl.DataFrame
    series: pl.DataFrame
    thresholds: Thresholds
    now: datetime
    live_seconds: float
    replicates: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    torn: frozenset[str] = frozenset()  # runs whose file ends in the middle of a line
    curves: dict[tuple[str, str], Curve] = field(default_factory=dict[tuple[str, str], Curve])
    suspects: tuple[tuple[str, str], ...] = ()  # the series that may have diverged or overfitted
    flat: tuple[tuple[str, str], ...] = ()  # the first main metric of runs that may have reached a plateau
    extremes: tuple[tuple[str, str], ...] = ()  # losses that end at 0 or far below it, gradients that explode
    shifts: pl.DataFrame = field(default_factory=_no_shifts)  # a row for each series that stepped to another level
    pace: tuple[tuple[str, str], ...] = ()  # the series of each run that shows its speed
    rewound_to: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    losses: tuple[tuple[str, str], ...] = ()  # the series to look for spikes in

    def drawn(self, keys: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[Curve]:
        """The curves of these series, as far as they were fetched."""
        return (self.curves[k] for k in keys if k in self.curves)


def number(value: float | None) -> str:
    """A number in evidence: five significant digits."""
    return "-" if value is None else f"{value:.5g}"
