"""The input and output of detectors: `DetectionContext` and `Finding`.

Detectors first read the series frame. Those that need a curve find it in `DetectionContext.curves`,
which holds the finite points of the series that `curves` chose; each series is a slice of plain arrays.
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
    """Returns the frame of `describe_shifts` with the names of the series and no rows."""
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
    """One problem of one run. ``metric`` is empty and ``step`` None if the problem has none.

    ``runs``: all runs that have it, where one finding stands for several.
    """

    run_id: str
    finding: str
    severity: str
    metric: str
    step: int | None
    evidence: str
    runs: tuple[str, ...] = ()


class Curve(Struct, frozen=True):
    """One series: steps, values with signs so that lower is better, values as logged, seconds since the first point."""

    run_id: str
    metric: str
    goal: str
    steps: Ints
    worse: Floats
    values: Floats
    seconds: Floats | None


class DetectionContext(Struct, frozen=True):
    """The frames that detectors read, and the curves of some series.

    ``series`` has, beside its own columns, ``goal``, ``n_finite``, the run's ``run_last`` step, and ``w_first``, ``w_last``,
    ``w_best``, ``w_best_step``: values with signs so that lower is better, null if the goal is unknown.
    """

    runs: pl.DataFrame
    series: pl.DataFrame
    thresholds: Thresholds
    now: datetime
    live_seconds: float
    replicates: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()  # globs of hyperparameters that name the task
    torn: frozenset[str] = frozenset()  # runs whose file ends in the middle of a line
    curves: dict[tuple[str, str], Curve] = field(default_factory=dict[tuple[str, str], Curve])
    suspects: tuple[tuple[str, str], ...] = ()  # the series that may have diverged or overfitted
    flat: tuple[tuple[str, str], ...] = ()  # the first main metric of runs that may have reached a plateau
    extremes: tuple[tuple[str, str], ...] = ()  # losses that end at 0 or far below it, gradients that explode
    shifts: pl.DataFrame = field(default_factory=_no_shifts)  # a row for each series that stepped to another level
    pace: tuple[tuple[str, str], ...] = ()  # the series of each run that shows its speed
    rewound_to: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    losses: tuple[tuple[str, str], ...] = ()  # the series that may have spikes
    counters: tuple[tuple[str, str], ...] = ()  # counters and learning rates that may have started again

    def curves_of(self, keys: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[Curve]:
        """Yields the curves of these series, if their points were read."""
        return (self.curves[k] for k in keys if k in self.curves)


def number(value: float | None) -> str:
    """Returns a number as evidence shows it: five significant digits."""
    return "-" if value is None else f"{value:.5g}"
