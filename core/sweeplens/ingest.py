"""Sources that changed -> store. Unchanged sources are not opened; a source that cannot be read is a problem, not an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from sweeplens.discover import Discovery, discover
from sweeplens.errors import FormatError
from sweeplens.frames import POINTS_SCHEMA
from sweeplens.points import reduce_series
from sweeplens.readers import all_readers
from sweeplens.readers.protocol import Problem, Reader, Reading, Source
from sweeplens.readers.values import empty_reading_points
from sweeplens.runs import row_of, unique_ids
from sweeplens.store import MemoryStore, Part, Snapshot

__all__ = ["LoadReport", "Progress", "ingest"]

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) while work goes on."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load found. ``problems`` are all of them, those of earlier loads included."""

    n_runs: int
    n_points: int
    n_files: int
    n_malformed: int
    problems: tuple[Problem, ...]
    seconds: float


def ingest(roots: Sequence[Path], store: MemoryStore, *, progress: Progress | None = None) -> LoadReport:
    """Bring the store up to what is on disk now."""
    began = time.perf_counter()
    readers = all_readers()
    found = discover(roots, readers)
    fresh = {r.name: r for r in readers}
    readings: dict[tuple[str, str], tuple[Source, Reading]] = {}
    for done, source in enumerate(found.sources):
        if progress and done % 20 == 0:
            progress(done, len(found.sources), source.relative)
        readings[source.reader, source.path] = (source, _read(fresh[source.reader], source))
    snapshot = _commit(store, readings, found)
    return _report(snapshot, time.perf_counter() - began)


def _read(reader: Reader, source: Source) -> Reading:
    try:
        return reader.read(source, None)
    except (FormatError, OSError) as error:
        problem = Problem(source.path, f"could not be read as {reader.name}: {error}")
        return Reading((), empty_reading_points(), (problem,))


def _commit(
    store: MemoryStore, readings: Mapping[tuple[str, str], tuple[Source, Reading]], found: Discovery
) -> Snapshot:
    wanted = [(record.id, source.path) for source, reading in readings.values() for record in reading.runs]
    ids = iter(unique_ids(wanted))
    parts: dict[tuple[str, str], Part] = {}
    for key, (source, reading) in readings.items():
        renamed = {record.id: next(ids) for record in reading.runs}
        parts[key] = _part(source, reading, renamed)
    return store.commit(parts, found.problems, found.refused)


def _part(source: Source, reading: Reading, renamed: Mapping[str, str]) -> Part:
    points = sequenced(reading.points.with_columns(pl.col("run_id").replace(renamed)))
    series = reduce_series(points)
    steps = dict(series.group_by("run_id").agg(pl.col("n").max()).iter_rows())
    rows = tuple(row_of(r, source, renamed[r.id], steps.get(renamed[r.id], 0)) for r in reading.runs)
    problems = tuple(replace(p, run_id=renamed[reading.runs[0].id] if len(reading.runs) == 1 else p.run_id) for p in reading.problems)
    return Part(source, rows, series, points, problems, reading.resume)


def sequenced(points: pl.DataFrame) -> pl.DataFrame:
    """Reading points with ``seq``, their position within their series."""
    seq = pl.int_range(pl.len(), dtype=pl.UInt32).over("run_id", "metric").alias("seq")
    return points.with_columns(seq).select(*POINTS_SCHEMA)


def _report(snapshot: Snapshot, seconds: float) -> LoadReport:
    return LoadReport(
        n_runs=snapshot.runs.height,
        n_points=int(snapshot.series["n_logged"].sum()),
        n_files=sum(len(s.files) for s in snapshot.sources),
        n_malformed=sum(p.kind == "malformed" for p in snapshot.problems),
        problems=snapshot.problems,
        seconds=seconds,
    )
