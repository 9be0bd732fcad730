"""Adds the scores that files beside a log report to the points of its run (`sources.run_scores`).

with_scores(source, reading, facts)   for a source that is read alone
ReportedScores                        for sources that are read together
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.plain_data import plain_text
from sweeplens.readers.decoding.values import PointBuffer
from sweeplens.readers.protocol import Problem, Reading, Source
from sweeplens.sources.run_facts import Facts, fact_files
from sweeplens.sources.run_scores import Score, contradiction, placed, scores_of

__all__ = ["ReportedScores", "has_scores", "with_scores"]


def has_scores(reading: Reading, facts: Facts) -> bool:
    """Whether the run of a reading has reported scores."""
    return len(reading.runs) == 1 and bool(scores_of(reading.runs[0], facts))


def with_scores(source: Source, reading: Reading, facts: Facts) -> tuple[Reading, bool]:
    """Returns the reading of a whole source with the scores of its run as points, and whether it has any."""
    scores = scores_of(reading.runs[0], facts) if len(reading.runs) == 1 else ()
    if not scores:
        return reading, False
    lasts = reading.points.group_by("metric").agg(pl.col("step").max())
    rows, doubled = placed(scores, dict(lasts.iter_rows()))
    values = _values(reading.points, [m for m, _ in doubled])
    points = _points(reading.runs[0].id, rows)
    problems = _problems(source, doubled, values)
    joined = pl.concat([reading.points, points]) if reading.points.height else points
    return replace(reading, points=joined, problems=(*reading.problems, *problems)), True


class ReportedScores(Struct):
    """The scores of sources that are read together: ``rows`` of points, and what their logs have under the same name."""

    metrics: Mapping[str, Mapping[str, int]]  # run id -> metric -> last step
    frames: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    scored: set[str] = field(default_factory=set[str])  # paths of sources
    doubled: dict[str, tuple[Source, list[tuple[str, Score]]]] = field(
        default_factory=dict[str, "tuple[Source, list[tuple[str, Score]]]"]
    )  # by run id

    @classmethod
    def over(cls, series: pl.DataFrame, runs: Sequence[str]) -> ReportedScores:
        """Returns an empty collection for these runs, with the series of their logs."""
        mine = series.select(pl.col("run_id", "metric").cast(pl.String), "last_step").filter(
            pl.col("run_id").is_in(list(runs))
        )
        rows = mine.sort("run_id").iter_rows()
        return cls({run: {m: s for _, m, s in group} for run, group in groupby(rows, key=itemgetter(0))})

    def add(self, source: Source, run_id: str, reading: Reading, facts: Facts) -> None:
        """Adds the scores of the run of one source."""
        scores = scores_of(reading.runs[0], facts) if len(reading.runs) == 1 else ()
        if not scores:
            return
        rows, doubled = placed(scores, self.metrics.get(run_id, {}))
        self.frames.append(_points(run_id, rows))
        self.scored.add(source.path)
        if doubled:
            self.doubled[run_id] = (source, doubled)

    def problems(self, points: pl.DataFrame) -> dict[str, tuple[Problem, ...]]:
        """Returns path of a source -> its reported values that the log contradicts. ``points``: those of the logs."""
        if not self.doubled:
            return {}
        names = sorted({m for _, found in self.doubled.values() for m, _ in found})
        ids = pl.col("run_id").cast(pl.String)
        mine = (
            points.lazy().filter(ids.is_in(list(self.doubled)), pl.col("metric").cast(pl.String).is_in(names)).collect()
        )
        by_run = {str(key[0]): part for key, part in mine.partition_by("run_id", as_dict=True).items()}
        empty = mine.clear()
        return {
            source.path: _problems(source, found, _values(by_run.get(run, empty), names))
            for run, (source, found) in self.doubled.items()
        }


def _points(run_id: str, rows: Sequence[tuple[str, int, float]]) -> pl.DataFrame:
    buffer = PointBuffer()
    for metric, step, value in rows:
        buffer.add(run_id, metric, step, value)
    return buffer.frame()


def _values(points: pl.DataFrame, metrics: Sequence[str]) -> dict[str, list[float]]:
    """Returns metric -> logged values in order."""
    names = points["metric"].cast(pl.String)
    return {m: points.filter(names == m)["value"].to_list() for m in dict.fromkeys(metrics)}


def _problems(
    source: Source, doubled: Sequence[tuple[str, Score]], values: Mapping[str, Sequence[float]]
) -> tuple[Problem, ...]:
    """Returns a warning for each reported value that the log contradicts."""
    said = [(score, contradiction(metric, score, values.get(metric, ()))) for metric, score in doubled]
    return tuple(Problem(_file(source, score), text, kind="warning") for score, text in said if text)


def _file(source: Source, score: Score) -> str:
    """Returns the file that reports a score; the source where its own log does."""
    stem = score.full.removesuffix(f".{score.name}") if score.full != score.name else score.full
    paths = (f.path for f in fact_files(source))
    return plain_text(
        next((p for p in paths if p.replace("\\", "/").rsplit("/", 1)[-1].startswith(f"{stem}.")), source.path)
    )
