"""Chooses the most informative kind of chart for some runs: the default of `plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sweeplens.charts.request import PlotRequest, asked_metrics, swept_hparams

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["most_telling"]

_LONG = 3  # points of a curve
_FEW = 5  # runs


def most_telling(db: ExperimentDB, ask: PlotRequest) -> str:
    """Returns a kind: for two sides a comparison; else curves, if there are any; else results by what varies; else a timeline."""
    if ask.a or ask.b:
        return "comparison"
    view = db.view(ask.runs, ask.where)
    if not view.series.height:
        return "timeline"
    metric = asked_metrics(db, ask, 1)[0]
    length = view.series.filter(pl.col("metric") == metric.name)["n"].median()
    if isinstance(length, int | float) and length >= _LONG:
        return "curves"
    if view.runs.height >= _FEW and len(swept_hparams(db, ask, view.runs)) >= 2:
        return "parallel"
    return "ranking" if metric.goal != "unknown" else "timeline"
