"""Lists which detectors examined which metrics, in how many series: the basis of an answer without findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from sweeplens.analyses.triage.candidates import first_main_series
from sweeplens.analyses.triage.context import DetectionContext
from sweeplens.analyses.triage.level_shift import SHIFT_POINTS
from sweeplens.analyses.triage.metric_kinds import is_gradient, is_whole_loss
from sweeplens.analyses.triage.pairs import is_validation
from sweeplens.counting import count_of

__all__ = ["looked_at", "looked_at_line"]

_SCHEMA = {"detectors": pl.String(), "metrics": pl.List(pl.String()), "n_series": pl.Int64()}


def looked_at(context: DetectionContext, examined: pl.DataFrame | None) -> pl.DataFrame:
    """Returns detectors, metrics, n_series. ``examined``: the series that were read as curves; None if no curve was read."""
    series = context.series.select("metric")
    rows = [("nan, constant, ends_early, rewind", series), ("never_learned", _named(series, is_whole_loss))]
    if examined is not None:
        with_goal = examined.filter("with_goal").select("metric")
        long = examined.filter((pl.col("with_goal") | pl.col("level")) & (pl.col("n_finite") >= SHIFT_POINTS))
        rows += [
            ("divergence, spike", with_goal),
            ("overfit", _named(with_goal, is_validation)),
            ("plateau", first_main_series(context)),
            ("level_shift", long),
            ("zero_loss, runaway", _named(with_goal, is_whole_loss)),
            ("gradients", _named(series, is_gradient)),
            ("throughput", examined.filter("pace")),
            ("restart", examined.filter("counter")),
        ]
    table = [(name, frame["metric"].unique().sort().to_list(), frame.height) for name, frame in rows if frame.height]
    return pl.DataFrame(table, schema=_SCHEMA, orient="row")


def _named(series: pl.DataFrame, wanted: Callable[[str], bool]) -> pl.DataFrame:
    names = [m for m in series["metric"].unique().to_list() if wanted(m)]
    return series.filter(pl.col("metric").is_in(names))


def looked_at_line(table: pl.DataFrame) -> str:
    """Returns the table as one sentence; of many metrics, the first few are named."""
    parts: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for detectors, metrics, n in table.iter_rows():
        parts.setdefault((n, tuple(metrics)), []).append(detectors)
    return "Looked at: " + "; ".join(_part(names, metrics, n) for (n, metrics), names in parts.items()) + "."


def _part(detectors: Sequence[str], metrics: Sequence[str], n: int) -> str:
    named = (
        ", ".join(metrics)
        if len(metrics) <= 3
        else f"{count_of(len(metrics), 'metric')} ({', '.join(metrics[:2])}, ...)"
    )
    return f"{', '.join(detectors)} in {n} series of {named}"
