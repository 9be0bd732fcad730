"""Adds what files beside a log report to the reading of its run: facts, and scores as points (`sources.run_scores`).

with_scores(source, reading, facts)   for a source that is read alone
ReportedScores                        for sources that are read together
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.ingest.masking import masked, without_secrets
from sweeplens.plain_data import plain_text
from sweeplens.readers.decoding.values import PointBuffer
from sweeplens.readers.protocol import CombinedReading, Problem, Reading, Source
from sweeplens.sources.run_facts import Facts, fact_files, with_facts
from sweeplens.sources.run_facts import facts_of as facts_in_files
from sweeplens.sources.run_scores import Score, contradiction, placed, scores_of

__all__ = ["ReportedScores", "described", "facts_of", "has_scores", "scores_together", "with_scores"]


def facts_of(source: Source, *, masks: bool) -> Facts:
    """Returns the facts in files beside a source; ``masks``: without secrets."""
    found: Facts = facts_in_files(source) if source.signs else {}
    return cast("Facts", masked(found)) if masks else found


def described(reading: Reading, facts: Facts, *, masks: bool) -> Reading:
    """Returns the reading with facts as metadata; ``masks``: without secrets."""
    told = with_facts(reading, facts)
    return without_secrets(told) if masks else told


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
    buffer = PointBuffer()
    _add(buffer, reading.runs[0].id, rows)
    points = buffer.frame()
    problems = _problems(source, doubled, values)
    joined = pl.concat([reading.points, points]) if reading.points.height else points
    return replace(reading, points=joined, problems=(*reading.problems, *problems)), True


class ReportedScores(Struct, frozen=True):
    """The scores of sources that were read together: their points, the readings with problems, paths of sources with scores."""

    points: pl.DataFrame
    readings: Mapping[str, Reading]
    scored: frozenset[str]


def scores_together(
    many: CombinedReading, sources: Sequence[tuple[Source, str]], facts: Mapping[str, Facts]
) -> ReportedScores:
    """Returns the scores of sources (with the ids of their runs) that were read together. ``facts``: by path of the source."""
    told = [(source, run) for source, run in sources if facts.get(source.path)]
    logged = _logged(many.series, [run for _, run in told])
    points = PointBuffer()
    doubled: dict[str, tuple[Source, list[tuple[str, Score]]]] = {}
    scored: set[str] = set()
    for source, run in told:
        reading = many.readings[source.path]
        scores = scores_of(reading.runs[0], facts[source.path]) if len(reading.runs) == 1 else ()
        if scores:
            series = logged.get(run, {})
            rows, known = placed(scores, {metric: step for metric, (step, *_) in series.items()})
            _add(points, run, rows)
            scored.add(source.path)
            unsure = [(m, s) for m, s in known if contradiction(m, s, series[m][1:])]
            doubled |= {run: (source, unsure)} if unsure else {}
    readings = dict(many.readings)
    for path, problems in _contradicted(many.points, doubled).items():
        readings[path] = replace(readings[path], problems=(*readings[path].problems, *problems))
    return ReportedScores(points.frame(), readings, frozenset(scored))


def _logged(series: pl.DataFrame, runs: Sequence[str]) -> dict[str, dict[str, tuple[int, float, float, float]]]:
    """Returns run -> metric -> last step, and lowest, highest and last value, of these runs."""
    ids = pl.col("run_id").cast(pl.String)
    columns = (
        ids,
        pl.col("metric").cast(pl.String),
        "last_step",
        *(pl.col(c).fill_null(math.nan) for c in ("min", "max", "last")),
    )
    found: dict[str, dict[str, tuple[int, float, float, float]]] = {}
    for run, metric, *known in series.filter(ids.is_in(list(runs))).select(columns).iter_rows():
        found.setdefault(run, {})[metric] = (known[0], known[1], known[2], known[3])
    return found


def _contradicted(
    points: pl.DataFrame, doubled: Mapping[str, tuple[Source, list[tuple[str, Score]]]]
) -> dict[str, tuple[Problem, ...]]:
    """Returns path of a source -> the reported values that its log, in ``points``, contradicts."""
    if not doubled:
        return {}
    names = sorted({m for _, found in doubled.values() for m, _ in found})
    ids = pl.col("run_id").cast(pl.String)
    metric = pl.col("metric").cast(pl.String)
    mine = points.filter(ids.is_in(list(doubled)), metric.is_in(names)).group_by(ids, metric, maintain_order=True)
    values: dict[str, dict[str, list[float]]] = {}
    for run, name, logged in mine.agg("value").iter_rows():
        values.setdefault(run, {})[name] = logged
    return {source.path: _problems(source, found, values.get(run, {})) for run, (source, found) in doubled.items()}


def _add(points: PointBuffer, run_id: str, rows: Sequence[tuple[str, int, float]]) -> None:
    for metric, step, value in rows:
        points.add(run_id, metric, step, value)


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
    paths = (f.path for f in fact_files(source))
    return plain_text(
        next((p for p in paths if p.replace("\\", "/").rsplit("/", 1)[-1].startswith(f"{score.stem}.")), source.path)
    )
