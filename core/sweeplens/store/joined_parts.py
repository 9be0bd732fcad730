"""Joins the points of trainings that were resumed in another folder: those of the earlier folders come before those of the last.

A step that both logged counts with its last write, as where a run resumes in its own folder.

    JoinedParts().joined(snapshot, continued)    the snapshot with whole trainings, under the ids of their last parts
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from msgspec.structs import replace

from sweeplens.engines.polars_points import select_rows
from sweeplens.engines.protocol import StoredPoints
from sweeplens.frames.points import in_batches, reduce_series
from sweeplens.readers.protocol import Problem
from sweeplens.store.merge import splice
from sweeplens.store.snapshot import Snapshot

__all__ = ["JoinedParts"]

_BATCH = 5_000_000  # points of trainings that are reduced together


class JoinedParts:
    """Keeps the series of joined trainings until those of a part change."""

    def __init__(self) -> None:
        self._last: tuple[Mapping[str, str], pl.DataFrame, pl.DataFrame] = ({}, pl.DataFrame(), pl.DataFrame())

    def joined(self, snapshot: Snapshot, continued: Mapping[str, str]) -> Snapshot:
        """Returns the snapshot in which each training is one run. ``continued``: earlier part -> last part."""
        points = _joined_points(snapshot.points, snapshot.series, continued)
        rows = self._rows(snapshot.series, points, continued)
        series = splice(snapshot.series, {*continued, *continued.values()}, rows)
        return replace(
            snapshot,
            runs=_with_lengths(snapshot.runs, rows),
            series=series,
            points=points,
            stored=_joined_stored(snapshot.stored, points, continued),
            problems=tuple(_of_last_part(p, continued) for p in snapshot.problems),
        )

    def _rows(self, series: pl.DataFrame, points: pl.LazyFrame, continued: Mapping[str, str]) -> pl.DataFrame:
        """Returns the rows of joined trainings in the series frame; computed where their parts changed."""
        parts = _of_parts(series, continued)
        if self._last[0] != continued or not self._last[1].equals(parts):
            self._last = (continued, parts, _joined_rows(parts, points, continued))
        return self._last[2]


def _with_lengths(runs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the runs frame with the number of steps of whole trainings."""
    steps = dict(rows.group_by("run_id").agg(pl.col("n").max()).iter_rows())
    return runs.with_columns(
        n_steps=pl.col("run_id").replace_strict(steps, default=pl.col("n_steps"), return_dtype=pl.Int64)
    )


def _joined_stored(stored: StoredPoints, points: pl.LazyFrame, continued: Mapping[str, str]) -> StoredPoints:
    """Returns the points for an engine elsewhere: files without the parts, and the joined points as a frame."""
    if not stored.files and not stored.frames:
        return stored
    parts = frozenset({*continued, *continued.values()})
    files = tuple(replace(f, dropped=f.dropped | parts) for f in stored.files)
    frames = [f.filter(pl.col("run_id").is_in(list(parts)).not_()) for f in stored.frames]
    whole = select_rows(points, runs=sorted(set(continued.values()))).collect()
    return StoredPoints(files, (*frames, whole))


def _of_last_part(problem: Problem, continued: Mapping[str, str]) -> Problem:
    return replace(problem, run_id=continued[problem.run_id]) if problem.run_id in continued else problem


def _of_parts(series: pl.DataFrame, continued: Mapping[str, str]) -> pl.DataFrame:
    """Returns the rows of the series frame of all parts."""
    return series.filter(pl.col("run_id").is_in([*continued, *continued.values()]))


def _joined_rows(parts: pl.DataFrame, points: pl.LazyFrame, continued: Mapping[str, str]) -> pl.DataFrame:
    """Returns the rows of whole trainings in the series frame. ``points``: joined."""
    whole = parts.with_columns(pl.col("run_id").replace(dict(continued)))
    rows = [
        reduce_series(select_rows(points, runs=ids).collect())
        for ids in in_batches(whole["run_id"].unique().sort().to_list(), whole, _BATCH)
    ]
    return pl.concat([parts.head(0), *rows]).sort("run_id", "metric")


def _joined_points(points: pl.LazyFrame, series: pl.DataFrame, continued: Mapping[str, str]) -> pl.LazyFrame:
    """Returns all points; those of each part follow those of the parts before, as a later block follows an earlier one."""
    parts = [*continued, *continued.values()]
    others = points.filter(pl.col("run_id").is_in(parts).not_())
    return pl.concat([others, *(_moved(points, places, continued) for places in _places(series, continued))])


def _moved(points: pl.LazyFrame, places: Mapping[str, int], continued: Mapping[str, str]) -> pl.LazyFrame:
    """Returns the points of some parts under the ids of the last parts. ``places``: part -> points before its own."""
    before = pl.col("run_id").replace_strict(dict(places), default=0, return_dtype=pl.UInt32)
    return points.filter(pl.col("run_id").is_in(list(places))).with_columns(
        run_id=pl.col("run_id").replace(dict(continued)), seq=pl.col("seq") + before
    )


def _places(series: pl.DataFrame, continued: Mapping[str, str]) -> list[dict[str, int]]:
    """Returns the first parts of all trainings, then the second ones, and so on: each with the number of points that come before
    its own in any series of the training. Parts are in the order of their first steps, the last part is the last.
    """
    sizes = _of_parts(series, continued).group_by("run_id").agg(
        first=pl.col("first_step").min(), most=pl.col("n_logged").max()
    )  # fmt: skip
    training = pl.col("run_id").replace(dict(continued))
    named = sizes.with_columns(training=training, is_last=pl.col("run_id") == training)
    ordered = named.sort("training", "is_last", "first", "run_id").with_columns(
        rank=pl.int_range(pl.len()).over("training"),
        before=pl.col("most").cum_sum().over("training") - pl.col("most"),
    )
    ranks = ordered.partition_by("rank", maintain_order=True)
    return [dict(own.select("run_id", "before").iter_rows()) for own in sorted(ranks, key=lambda r: int(r["rank"][0]))]
