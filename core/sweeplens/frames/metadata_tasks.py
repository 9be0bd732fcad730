"""The task of a run (environment, dataset) where only metadata names it, as the logs of many trainers do.

`with_task` adds it to the hyperparameters, so that no analysis compares runs of different tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.frames.grouping import is_called, is_task
from sweeplens.frames.schemas import hparam_columns

__all__ = ["with_task"]

_METADATA = "metadata."


def with_task(runs: pl.DataFrame, tasks: Sequence[str]) -> pl.DataFrame:
    """Returns the runs frame with the task as a hyperparameter, named as in the metadata.

    That is done only if no hyperparameter that varies is called as a task (``tasks``: globs), and a text of the metadata is: one
    that every run has, with more than one value. Of several the one with the shortest name counts.
    """
    if any(is_task(name, tasks) and runs[name].n_unique() > 1 for name in hparam_columns(runs)):
        return runs
    metadata = [c for c in runs.columns if c.startswith(_METADATA)]
    called = [c for c in metadata if runs[c].dtype == pl.String and is_called(c, tasks)]
    named = [c for c in called if runs[c].null_count() == 0 and runs[c].n_unique() > 1]
    name = min((c.removeprefix(_METADATA) for c in named), key=len, default="")
    if not name or name in runs.columns:
        return runs
    return runs.with_columns(pl.col(_METADATA + name).alias(name)).select(pl.exclude(metadata), *metadata)
