"""Frames of planted curves, for tests that must know the truth: runs, series and points without any file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA

NOW = datetime(2026, 1, 10, tzinfo=UTC)
Curves = Mapping[str, Sequence[float] | tuple[Sequence[int], Sequence[float]]]


def points_of(runs: Mapping[str, Curves], *, step_seconds: Mapping[str, Sequence[float]] | None = None) -> pl.DataFrame:
    """A curve is values at steps 0, 1, 2, ... or (steps, values). ``step_seconds``: run -> seconds that each step took."""
    frames = [pl.DataFrame(schema=POINTS_SCHEMA)]
    for run, curves in runs.items():
        for metric, curve in curves.items():
            steps, values = curve if isinstance(curve, tuple) else (range(len(curve)), curve)
            frames.append(_points(run, metric, steps, values, (step_seconds or {}).get(run)))
    return pl.concat(frames)


def _points(
    run: str, metric: str, steps: Sequence[int], values: Sequence[float], seconds: Sequence[float] | None
) -> pl.DataFrame:
    n = len(values)
    began = NOW - timedelta(days=1)
    times = None if seconds is None else [began + timedelta(seconds=sum(seconds[:i])) for i in range(n)]
    frame = pl.DataFrame(
        {"run_id": [run] * n, "metric": [metric] * n, "step": list(steps), "value": [float(v) for v in values],
         "wall_time": times or [None] * n, "seq": range(n)},
        schema=POINTS_SCHEMA,
    )  # fmt: skip
    return frame.cast(POINTS_SCHEMA)  # pyright: ignore[reportArgumentType]


def runs_of(
    points: pl.DataFrame,
    hparams: Mapping[str, Mapping[str, object]] | None = None,
    *,
    status: Mapping[str, str] | None = None,
    silent: float = 60.0,
) -> pl.DataFrame:
    """A runs frame for these points: finished unless ``status`` says else, last changed ``silent`` seconds ago."""
    ids = points["run_id"].unique(maintain_order=True).to_list()
    names = dict.fromkeys(n for h in (hparams or {}).values() for n in h)
    lengths = dict(points.group_by("run_id").agg(pl.col("step").n_unique()).iter_rows())
    return pl.DataFrame(
        {
            "run_id": ids,
            "name": ids,
            "status": [(status or {}).get(i, "finished") for i in ids],
            "created_at": [NOW - timedelta(days=2)] * len(ids),
            "updated_at": [NOW - timedelta(seconds=silent)] * len(ids),
            "n_steps": [lengths[i] for i in ids],
            "format": ["planted"] * len(ids),
            **{n: [(hparams or {}).get(i, {}).get(n) for i in ids] for n in names},
            "null_hparams": pl.Series([[]] * len(ids), dtype=pl.List(pl.String)),
        }
    )


def series_of(points: pl.DataFrame) -> pl.DataFrame:
    """The series frame, as ingest makes it."""
    return reduce_series(points)
