"""The columns, types and empty forms of the three frames.

points  one row for each value that was logged, NaN and infinities included, in logged order (``seq``)
series  one row for each (run, metric): statistics of its finite values, the last write of each step, kept by ingest
runs    one row for each run: identity, status, then a column for each flattened hyperparameter, then ``metadata.*``
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import polars as pl

__all__ = [
    "CONTINUES",
    "ENDED_WITH",
    "FROM",
    "GOALS",
    "POINTS_SCHEMA",
    "RUN_COLUMNS",
    "SERIES_SCHEMA",
    "SERIES_STATS",
    "SOURCE_RUN",
    "SPLIT_OVERLAP",
    "STATUSES",
    "WARNINGS",
    "empty_points",
    "empty_series",
    "hparam_columns",
]

POINTS_SCHEMA: dict[str, pl.DataType] = {
    "run_id": pl.String(),
    "metric": pl.String(),
    "step": pl.Int64(),
    "value": pl.Float64(),
    "wall_time": pl.Datetime("us", "UTC"),
    "seq": pl.UInt32(),
}

SERIES_SCHEMA: dict[str, pl.DataType] = {
    "run_id": pl.String(),
    "metric": pl.String(),
    "n": pl.Int64(),  # distinct steps: a repeated step counts once, with its last write
    "n_logged": pl.Int64(),  # all logged points, repeated steps included
    "n_nan": pl.Int64(),  # among the n steps
    "n_inf": pl.Int64(),
    "first_step": pl.Int64(),
    "last_step": pl.Int64(),
    "first": pl.Float64(),  # value at first_step, also if not finite
    "last": pl.Float64(),  # value at last_step, NaN and infinities included
    "min": pl.Float64(),  # from here on: finite values only
    "min_step": pl.Int64(),
    "max": pl.Float64(),
    "max_step": pl.Int64(),
    "mean": pl.Float64(),
    "std": pl.Float64(),  # ddof 1
    "last_finite": pl.Float64(),
    "last_finite_step": pl.Int64(),
    "first_nonfinite_step": pl.Int64(),
    "rewinds": pl.Int64(),  # how often the step went backwards during logging
}

SERIES_STATS: tuple[str, ...] = tuple(name for name in SERIES_SCHEMA if name not in ("run_id", "metric"))

STATUSES: tuple[str, ...] = ("running", "finished", "failed", "crashed", "killed", "pruned", "waiting", "unknown")
"""``failed``: ended with its own error; ``crashed``: stopped without a message; ``killed``: stopped from outside;
``pruned``: ended early by its search; ``waiting``: planned and not started."""
ENDED_WITH = "ended_with"
"""The metadata with the words of a program, or of its scheduler, on why a run failed or was killed."""
SPLIT_OVERLAP = "split_overlap"
"""The name of the metadata on cases that are in two parts of the run's fold."""
WARNINGS = "warnings"
"""The metadata with the lines in which a program warned in its printed log; an empty list where its log has none."""
GOALS = "metadata.goals."
"""Prefix of the columns that hold the producer's own goal of a metric: lower or higher."""
FROM = "from."
"""Prefix of the hyperparameters that a run has from the run that it started from (`frames.lineage`)."""
SOURCE_RUN = "metadata.from."
"""Prefix of the columns with the id of that run, by the setting that leads to it."""
CONTINUES = "metadata.continues"
"""The column with the ids of the runs in other folders whose training a run continues, as a list in JSON."""

RUN_COLUMNS: dict[str, pl.DataType] = {
    "run_id": pl.String(),
    "name": pl.String(),
    "group": pl.String(),
    "status": pl.String(),
    "created_at": pl.Datetime("us", "UTC"),
    "updated_at": pl.Datetime("us", "UTC"),
    "n_steps": pl.Int64(),  # distinct steps of the longest series; 0 without points
    "source": pl.String(),  # absolute path of the file or folder that it was read from
    "format": pl.String(),  # the reader's name
    "parent": pl.String(),
    "tags": pl.List(pl.String()),
    "null_hparams": pl.List(pl.String()),  # hyperparameters of the run with the value None
}
"""The fixed columns of the runs frame; all others are hyperparameters, except those under ``metadata.``."""


def hparam_columns(runs: pl.DataFrame) -> list[str]:
    """Returns the names of the hyperparameter columns of a runs frame, in order."""
    return [c for c in runs.columns if c not in RUN_COLUMNS and not c.startswith("metadata.")]


@cache
def empty_points() -> pl.DataFrame:
    """Returns a points frame without rows."""
    return pl.DataFrame(schema=POINTS_SCHEMA)


@cache
def empty_series() -> pl.DataFrame:
    """Returns a series frame without rows."""
    return pl.DataFrame(schema=SERIES_SCHEMA)


def concat_points(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Concatenates points frames; returns a frame without rows if there are none."""
    kept = [f for f in frames if f.height]
    return pl.concat(kept, rechunk=False) if kept else empty_points()
