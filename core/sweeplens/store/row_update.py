"""Replaces rows of the runs frame, all in one step, if its columns cannot change; otherwise the caller rebuilds the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.store.merge import splice
from sweeplens.store.runs_frame import LEFT_OUT, RunRow, runs_frame

__all__ = ["updated_rows"]


def updated_rows(runs: pl.DataFrame, old: Sequence[RunRow], new: Sequence[RunRow]) -> pl.DataFrame | None:
    """Returns the frame with the rows of ``old`` replaced by ``new``, or None if names or types of columns may change."""
    if len(old) != len(new) or LEFT_OUT in runs.columns:
        return None
    for was, row in zip(old, new, strict=True):
        if was.hyperparameters != row.hyperparameters or not _same_column(was.metadata, row.metadata):
            return None
    mine, schema = runs_frame(new), runs.schema
    known = set(mine.columns)
    missing = [pl.lit(None, dtype=t).alias(c) for c, t in schema.items() if c not in known]
    try:
        rows = mine.with_columns(missing).select(pl.col(c).cast(t) for c, t in schema.items())
    except pl.exceptions.PolarsError:  # a value that its column cannot hold
        return None
    return splice(runs, set(), rows)


def _same_column(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether each value is unchanged, or of a type that does not affect its column."""
    return old.keys() == new.keys() and all(
        value == new[name] or (type(value) is type(new[name]) and isinstance(value, dict | list))
        for name, value in old.items()
    )
