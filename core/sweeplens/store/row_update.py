"""A run's row in the runs frame replaced where nothing about its columns can change; else the caller builds the frame anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.store.merge import splice
from sweeplens.store.runs_frame import RunRow, runs_frame

__all__ = ["updated_row"]


def updated_row(runs: pl.DataFrame, old: Sequence[RunRow], new: Sequence[RunRow]) -> pl.DataFrame | None:
    """The frame with the rows of ``old`` replaced by ``new``; None where names or types of columns may differ then."""
    if len(old) != len(new):
        return None
    for was, row in zip(old, new, strict=True):
        if was.hyperparameters != row.hyperparameters or not _alike(was.metadata, row.metadata):
            return None
    mine, schema = runs_frame(new), runs.schema
    known = set(mine.columns)
    missing = [pl.lit(None, dtype=t).alias(c) for c, t in schema.items() if c not in known]
    try:
        rows = mine.with_columns(missing).select(pl.col(c).cast(t) for c, t in schema.items())
    except pl.exceptions.PolarsError:  # a value that its column cannot hold
        return None
    return splice(runs, set(), rows)


def _alike(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether each value is what it was, or another one of a kind that decides nothing about its column."""
    return old.keys() == new.keys() and all(
        value == new[name] or (type(value) is type(new[name]) and isinstance(value, dict | list))
        for name, value in old.items()
    )
