"""What a Trainer wrote to TensorBoard after its last checkpoint: the history of a run that was killed goes on there.

points_after(files, step, run)  -> the points after a step, under the names that the history has

A run that goes on from a checkpoint writes a further file: from its first step on, that file counts.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.protocol import FileStat
from sweeplens.readers.tensorboard.folders import age, facts_of_folder

__all__ = ["points_after"]

_TRAIN, _OTHERS = "train/", ("eval/", "test/", "predict/")


def points_after(files: Iterable[FileStat], step: int, run: str) -> pl.DataFrame:
    """Returns the points of event files after a step."""
    found = empty_reading_points()
    for entry in sorted(files, key=lambda f: age(f.path.replace("\\", "/").rsplit("/", 1)[-1])):
        points = facts_of_folder(compression.read_plain(entry.path)).frame(run).filter(pl.col("step") > step)
        if points.height:
            found = found.filter(pl.col("step") < points["step"].min())
            found = pl.concat([found, points.select(found.columns)])
    names = {tag: _name_in_history(tag) for tag in found["metric"].unique()}
    return found.with_columns(pl.col("metric").replace(names)) if names else found


def _name_in_history(tag: str) -> str:
    """Returns the name in the history: ``loss`` of ``train/loss``, ``eval_loss`` of ``eval/loss``."""
    if tag.startswith(_OTHERS):
        return tag.replace("/", "_", 1)
    return tag.removeprefix(_TRAIN)
