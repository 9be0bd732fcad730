"""Checks a reader's result: plain data, the right columns, unique run ids. Later code relies on these."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import polars as pl
from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.plain_data import plain_mapping, plain_text
from sweeplens.readers.decoding.values import as_time, empty_reading_points
from sweeplens.readers.many_settings import bounded_settings
from sweeplens.readers.protocol import READING_SCHEMA, Problem, Reading, RunRecord

__all__ = ["checked", "plain_problem"]


def checked(reading: Reading) -> Reading:
    """Returns the reading with plain data, the same object if it was plain already. Raises FormatError if it cannot be used."""
    known = _with_logged_times(reading.runs, reading.points)
    bounded = [_with_bounded_settings(_record(run)) for run in known]
    runs = tuple(run for run, _ in bounded)
    ids = [r.id for r in runs]
    if len(set(ids)) < len(ids):
        raise FormatError(f"the reader returned two runs with the id {next(i for i in ids if ids.count(i) > 1)!r}")
    points = _points(reading.points, ids)
    problems = tuple(map(plain_problem, (*reading.problems, *(p for _, p in bounded if p is not None))))
    same = len(problems) == len(reading.problems) and all(
        a is b for a, b in zip((*runs, *problems), (*reading.runs, *reading.problems), strict=True)
    )
    return reading if same and points is reading.points else Reading(runs, points, problems, reading.resume)


def _with_logged_times(runs: Sequence[RunRecord], points: pl.DataFrame) -> Sequence[RunRecord]:
    """Returns the runs; one of which no beginning or no last change is known gets those of its points, if they have times."""
    unknown = [r for r in runs if r.created_at is None or r.updated_at is None]
    if not unknown or "wall_time" not in points.columns or points["wall_time"].null_count() == points.height:
        return runs
    when = pl.col("wall_time")
    logged = points.group_by("run_id").agg(when.min().alias("first"), when.max().alias("last"))
    times = {run_id: (first, last) for run_id, first, last in logged.iter_rows()}
    return [_with_times(r, *times.get(r.id, (None, None))) for r in runs]


def _with_times(record: RunRecord, first: datetime | None, last: datetime | None) -> RunRecord:
    if first is None or (record.created_at is not None and record.updated_at is not None):
        return record
    return replace(record, created_at=record.created_at or first, updated_at=record.updated_at or last)


def _points(points: pl.DataFrame, ids: Collection[str]) -> pl.DataFrame:
    if points is empty_reading_points():
        return points
    if points.schema != READING_SCHEMA:
        points = points.select(*READING_SCHEMA).cast(READING_SCHEMA)  # pyright: ignore[reportArgumentType]
    if points["metric"].null_count() or points["step"].null_count():
        raise FormatError("the reader returned points without a metric or a step")
    unknown = set(points["run_id"].unique()) - set(ids) if points.height else set[str]()
    if unknown:
        raise FormatError(f"the reader returned points of a run that is not among its runs: {min(map(str, unknown))!r}")
    return points


def _record(record: RunRecord) -> RunRecord:
    hyper, metadata = plain_mapping(record.hyperparameters), plain_mapping(record.metadata)
    texts = (record.id, record.name, record.group, record.status, record.parent)
    plain = tuple(map(_text, texts))
    tags = tuple(map(_text, record.tags))
    counts = {_text(k): int(v) for k, v in record.non_scalar.items()} if record.non_scalar else record.non_scalar
    times = (_time(record.created_at), _time(record.updated_at))
    same = hyper is record.hyperparameters and metadata is record.metadata and plain == texts and tags == record.tags
    if same and counts == record.non_scalar and times == (record.created_at, record.updated_at):
        return record
    run_id, name, group, status, parent = plain
    return RunRecord(run_id, name, group, status, *times, parent, tags, hyper, metadata, counts)


def _with_bounded_settings(record: RunRecord) -> tuple[RunRecord, Problem | None]:
    """Returns the run with a bounded number of hyperparameters, and a problem if some are left out."""
    kept, left_out = bounded_settings(record.hyperparameters)
    if not left_out:
        return record, None
    return replace(record, hyperparameters=kept), Problem(record.id, left_out, run_id=record.id)


def _text(value: object) -> str:
    return plain_text(value if isinstance(value, str) else "" if value is None else str(value))


def _time(value: datetime | None) -> datetime | None:
    return None if value is None else as_time(value)


def plain_problem(problem: Problem) -> Problem:
    """Returns the problem with text that data frames can hold."""
    plain = tuple(map(plain_text, (problem.file, problem.reason, problem.excerpt, problem.run_id)))
    if plain == (problem.file, problem.reason, problem.excerpt, problem.run_id):
        return problem
    file, reason, excerpt, run_id = plain
    return replace(problem, file=file, reason=reason, excerpt=excerpt, run_id=run_id)
