"""Finds runs that were validated or tested on cases that they, or the runs that were chosen, were trained on."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.triage.context import DetectionContext, Finding
from sweeplens.frames.schemas import SPLIT_OVERLAP

__all__ = ["split_overlap"]

_COLUMN = f"metadata.{SPLIT_OVERLAP}"


def split_overlap(context: DetectionContext) -> Iterator[Finding]:
    """high: in the split file and fold that a run's settings name, validation or test cases are also training cases."""
    if _COLUMN not in context.runs.columns or context.runs[_COLUMN].dtype != pl.String:
        return
    told = context.runs.select("run_id", _COLUMN).drop_nulls().sort("run_id")
    for run_id, text in told.iter_rows():
        yield Finding(run_id, "split_overlap", "high", "", None, text)
