"""Reads sources into a `StoreChange`: many together where their reader can, the others one by one.

Sources that can be read together are read in parts of some megabytes. A thread takes each part from bytes to stored points
and series, while the walk may still find more. What was appended to several sources is read together too. A source that
cannot be read becomes a problem; the others are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import cast

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.ingest.entries import (
    ReadTask,
    content_if_young,
    continued_with,
    entry_of,
    resume_of,
    within_limits,
)
from sweeplens.ingest.one_source import UNREAD, SourceReading, read_appended, read_whole
from sweeplens.ingest.prefetch import OrderedExecutor
from sweeplens.ingest.reported import ReportedScores, described, facts_of, scores_together
from sweeplens.readers import loaded_reader
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.checked import checked
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.protocol import (
    AppendReader,
    BatchReader,
    CombinedReading,
    Problem,
    Reader,
    Reading,
    Source,
)
from sweeplens.store import MemoryStore, StoreChange
from sweeplens.store.blocks import FileBlock
from sweeplens.store.ledger import Key, SourceEntry
from sweeplens.store.merge import continue_series, sequenced

__all__ = ["Progress", "keep_earlier", "read_all", "unread_reason"]

Progress = Callable[[int, int, str], None]
"""Called with (done, total, path) during work; it may raise to end the work. ``total`` grows while more is found."""

_BATCH_ROWS = 1_000_000  # points kept in memory before they are numbered, reduced and written
_PART_BYTES = 24 << 20  # size of files that are read together
_REPORT_EVERY = 20  # sources
_NO_CHECKSUM = -1  # no content has this checksum: such a source counts as changed at every refresh


class _ReadResult(Struct, frozen=True):
    """The result of a thread: entries, and their points, numbered and reduced, as a file or as a frame."""

    points: FileBlock | pl.DataFrame | None = None
    series: pl.DataFrame | None = None
    reported: pl.DataFrame | None = None  # points of scores in files beside the logs, numbered
    tasks: list[ReadTask] = field(default_factory=list[ReadTask])  # the tasks that were read together
    entries: list[SourceEntry] = field(default_factory=list[SourceEntry])  # entries of the tasks that succeeded


class _ReadPart(Struct):
    """Sources to be read together, and their size in bytes."""

    tasks: list[ReadTask] = field(default_factory=list[ReadTask])
    size: int = 0


class _ReadBatch(Struct):
    """Readings of some sources, as frames of points under unique ids."""

    fresh: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    resumed: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    rows: int = 0

    def add(self, points: pl.DataFrame, *, is_resumed: bool) -> None:
        """Adds the points of one source."""
        (self.resumed if is_resumed else self.fresh).append(points)
        self.rows += points.height


def read_all(
    tasks: Iterable[ReadTask], gone: Iterable[Key], store: MemoryStore, progress: Progress | None
) -> StoreChange:
    """Reads all tasks, and drops the data of sources that are gone."""
    state = _ReadState(store, StoreChange(gone=list(gone)), progress)
    for key in state.change.gone:
        state.drop_earlier(store.ledger.get(key))
    with OrderedExecutor(state.record) as executor:
        _read_together(tasks, state, executor)
        _read_appended(state, executor)
        _read_alone(state, executor)
    state.change.points += state.small_frames
    return state.change


class _ReadState:
    """Collects results, keeps the tasks that are left to be read alone, and reports progress."""

    def __init__(self, store: MemoryStore, change: StoreChange, progress: Progress | None) -> None:
        self.store = store
        self.change = change
        self.alone: list[ReadTask] = []
        self.grown: list[ReadTask] = []  # sources of which only the end is read
        self.small_frames: list[pl.DataFrame] = []  # points too few for a file of their own
        self._progress = progress
        self._found = self._done = 0
        self._reported = -_REPORT_EVERY

    def add_task(self, task: ReadTask) -> None:
        """Counts a task that must be read."""
        self._found += 1
        self._report(task)

    def finished(self, task: ReadTask, count: int = 1) -> None:
        """Counts tasks that have been read; ``task`` is the last of them."""
        self._done += count
        self._report(task)

    def _report(self, task: ReadTask) -> None:
        if self._progress and self._done + self._found - self._reported >= _REPORT_EVERY:
            self._reported = self._done + self._found
            self._progress(self._done, self._found, task.source.relative)

    def record(self, result: _ReadResult) -> None:
        """Records the result of a thread; tasks that failed are read alone later."""
        for entry in result.entries:
            self.change.entries[entry.key] = entry
        if isinstance(result.points, FileBlock):
            self.change.files.append(result.points)
        elif result.points is not None and result.points.height:
            few = result.points.height < _BATCH_ROWS
            (self.small_frames if few else self.change.points).append(result.points)
        if result.reported is not None:
            self.small_frames.append(result.reported)
        if result.series is not None:
            self.change.series.append(result.series)
        read = [t for t in result.tasks if t.key in self.change.entries]
        self.alone += [t for t in result.tasks if t.key not in self.change.entries]
        for task in read:
            self.drop_earlier(task.entry)
        if read:
            self.finished(read[-1], len(read))

    def drop_earlier(self, entry: SourceEntry | None) -> None:
        """Drops all earlier data of a source."""
        if entry is not None:
            self.change.dropped.update(entry.ids)
            self.change.freed.update(r.id for r in entry.records)

    def provisional_id(self, run_id: str, key: Key) -> str:
        """Returns an id that no other source has for now; the store assigns the final one when all are known."""
        if self.change.given.setdefault(run_id, key) != key:
            return f"{run_id}@{key[1]}:{key[0]}"
        return self.store.ledger.free_id(run_id, key)


# ------------------------------------------------------------------ many together


def _read_together(tasks: Iterable[ReadTask], state: _ReadState, executor: OrderedExecutor[_ReadResult]) -> None:
    """Reads, in parts, the sources that can be read together; the others are left to be read alone."""
    parts: dict[str, _ReadPart] = {}
    for task in tasks:
        state.add_task(task)
        reader = _batch_reader(task.reader)
        if task.resumes or reader is None or not reader.is_batchable(task.source):
            (state.grown if task.resumes else state.alone).append(task)
            continue
        part = parts.setdefault(reader.name, _ReadPart())
        part.tasks.append(task)
        part.size += task.source.files[0].size
        if part.size >= _PART_BYTES:
            _submit_part(parts.pop(reader.name), state, executor)
            _submit_small_frames(state, executor)
    for part in parts.values():
        _submit_part(part, state, executor)
    executor.finish()


def _batch_reader(reader: Reader) -> BatchReader | None:
    """Returns the reader as a `BatchReader` if it is one; the check is cached by class, as it is slow."""
    found = loaded_reader(reader)
    return cast("BatchReader", found) if _is_batch_reader(type(found)) else None


@cache
def _is_batch_reader(kind: type) -> bool:
    return all(hasattr(kind, verb) for verb in ("is_batchable", "read_many"))


def _submit_small_frames(state: _ReadState, executor: OrderedExecutor[_ReadResult]) -> None:
    """Writes points of small frames together, once they are many."""
    if sum(f.height for f in state.small_frames) >= _BATCH_ROWS:
        executor.submit(partial(_write_points, pl.concat(state.small_frames), state.store))
        state.small_frames = []


def _write_points(points: pl.DataFrame, store: MemoryStore) -> _ReadResult:
    return _ReadResult(store.spill(points) or points)


def _submit_part(part: _ReadPart, state: _ReadState, executor: OrderedExecutor[_ReadResult]) -> None:
    names = {t.source.path: state.provisional_id(t.source.relative, t.key) for t in part.tasks}
    executor.submit(partial(_read_part_within, part.tasks, names, state.store))


def _read_part_within(tasks: list[ReadTask], names: dict[str, str], store: MemoryStore) -> _ReadResult:
    with within_limits([t.source for t in tasks]):
        return _read_part(tasks, names, store)


def _read_part(tasks: list[ReadTask], names: dict[str, str], store: MemoryStore) -> _ReadResult:
    """Reads sources of one reader together, as far as possible. Runs in a thread, and changes no shared state."""
    reader = _batch_reader(tasks[0].reader)
    assert reader is not None
    young = {t.source.path: content_if_young(t.source) for t in tasks}
    sources = [t.source for t in tasks]
    masks = not store.shows_secrets
    found = guarded(
        lambda: _read_many(reader, sources, names, masks=masks), sources[0].path, "cannot be read together with others"
    )
    if isinstance(found, Failure):
        return _ReadResult(tasks=tasks)  # one of them failed: each is then read alone
    many, scores = found
    told = scores.readings
    entries = [
        entry_of(t, told[path], (names[path],), young[path], path in scores.scored)
        for t in tasks
        if (path := t.source.path) in told
    ]
    file = store.spill(many.points, ordered=True)
    reported = sequenced(scores.points) if scores.points.height else None
    series = many.series if reported is None else pl.concat([many.series, reduce_series(reported)])
    return _ReadResult(file or many.points.cast(POINTS_SCHEMA), series, reported, tasks, entries)  # pyright: ignore[reportArgumentType]


def _read_many(
    reader: BatchReader, sources: list[Source], names: Mapping[str, str], *, masks: bool
) -> tuple[CombinedReading, ReportedScores]:
    """Reads sources together, checks their readings, and adds what files beside them report."""
    many = reader.read_many(sources, names)
    many = replace(many, readings={path: checked(reading) for path, reading in many.readings.items()})
    facts = {s.path: facts_of(s, masks=masks) for s in sources if s.path in many.readings}
    scores = scores_together(many, [(s, names[s.path]) for s in sources], facts)
    told = {path: described(reading, facts[path], masks=masks) for path, reading in scores.readings.items()}
    return many, replace(scores, readings=told)


# ------------------------------------------------------------------ what was appended


def _read_appended(state: _ReadState, executor: OrderedExecutor[_ReadResult]) -> None:
    """Reads the ends of sources that grew, in parts; those that cannot be read together are left to be read alone."""
    parts: dict[str, _ReadPart] = {}
    for task in state.grown:
        reader = _append_reader(task.reader)
        if reader is None or not reader.is_batchable(task.source):
            state.alone.append(task)
            continue
        part = parts.setdefault(reader.name, _ReadPart())
        part.tasks.append(task)
        part.size += task.source.files[0].size - resume_of(task).offset
        if part.size >= _PART_BYTES:
            _read_ends(parts.pop(reader.name).tasks, state, executor)
    for part in parts.values():
        _read_ends(part.tasks, state, executor)


def _append_reader(reader: Reader) -> AppendReader | None:
    """Returns the reader as an `AppendReader` if it is one."""
    found = loaded_reader(reader)
    return cast("AppendReader", found) if hasattr(type(found), "read_appended") else None


def _read_ends(tasks: list[ReadTask], state: _ReadState, executor: OrderedExecutor[_ReadResult]) -> None:
    """Reads the ends of these sources together, as far as possible."""
    reader, sources = _append_reader(tasks[0].reader), [t.source for t in tasks]
    assert reader is not None
    names = {t.source.path: t.entry.ids[0] for t in tasks if t.entry is not None and len(t.entry.ids) == 1}
    resumes = {t.source.path: resume_of(t) for t in tasks if t.source.path in names}
    young = {s.path: content_if_young(s) for s in sources}
    batch = _ReadBatch()
    with within_limits(sources):
        many = guarded(
            lambda: reader.read_appended(sources, resumes, names), sources[0].path, "cannot be resumed with others"
        )
        for task in tasks:
            reading = None if isinstance(many, Failure) else continued_with(task, many, state.store)
            if reading is None:
                state.alone.append(task)
                continue
            path = task.source.path
            state.change.entries[task.key] = entry_of(task, reading, (names[path],), young[path], scored=False)
            state.finished(task)
    if not isinstance(many, Failure) and many.points.height:
        batch.add(many.points, is_resumed=True)
        _finish_batch(batch, state, executor)


# ------------------------------------------------------------------ one by one


def _read_alone(state: _ReadState, executor: OrderedExecutor[_ReadResult]) -> None:
    """Reads one source after the other, and finishes a batch whenever it has many points."""
    batch = _ReadBatch()
    for task in state.alone:
        with within_limits([task.source]):
            _read_one(task, state, batch)
        state.finished(task)
        if batch.rows >= _BATCH_ROWS:
            _finish_batch(batch, state, executor)
            batch = _ReadBatch()
    _finish_batch(batch, state, executor)


def _read_one(task: ReadTask, state: _ReadState, batch: _ReadBatch) -> None:
    """Reads one source into the batch, and adds its entry to the change."""
    content = content_if_young(task.source)
    masks = not state.store.shows_secrets
    entry = task.entry if task.resumes else None
    found = read_appended(task, entry, masks=masks) if entry else None
    if found is None:  # nothing to resume, or it failed, or scores move to the new last step
        entry, found = None, read_whole(task, masks=masks)
        if isinstance(found, Failure):
            if task.entry is not None and task.entry.ids:
                keep_earlier(task, task.entry, found.problem, state.change)
                return
            content = _NO_CHECKSUM if found.is_transient else content
            found = SourceReading(Reading((), empty_reading_points(), (found.problem,)))
        state.drop_earlier(task.entry)
    reading = found.reading
    known = dict(zip((r.id for r in entry.records), entry.ids, strict=True)) if entry else {}
    ids = tuple(known.get(r.id) or state.provisional_id(r.id, task.key) for r in reading.runs)
    state.change.entries[task.key] = entry_of(task, reading, ids, content, found.scored)
    if reading.points.height:
        renamed = {r.id: i for r, i in zip(reading.runs, ids, strict=True) if r.id != i}
        points = reading.points.with_columns(pl.col("run_id").replace(renamed)) if renamed else reading.points
        batch.add(points, is_resumed=entry is not None)


def keep_earlier(task: ReadTask, entry: SourceEntry, problem: Problem, change: StoreChange) -> None:
    """Keeps the earlier data of a source that cannot be read now (such as a locked database), with a problem; it is retried."""
    noted = replace(problem, reason=f"{problem.reason}; its earlier data stay until it can be read again")
    problems = (*(p for p in entry.problems if not p.reason.startswith(UNREAD)), noted)
    kept_entry = replace(entry, source=task.source, problems=problems, resume=None, content=_NO_CHECKSUM)
    if kept_entry != entry:
        change.entries[task.key] = kept_entry


def unread_reason(entry: SourceEntry) -> Problem | None:
    """Returns the problem of a source that could not be read at all; None if it was read."""
    problems = entry.problems if not entry.records else ()
    return next((p for p in problems if p.reason.startswith(UNREAD)), None)


def _finish_batch(batch: _ReadBatch, state: _ReadState, executor: OrderedExecutor[_ReadResult]) -> None:
    """Submits the points of new readings, and merges those of resumed readings with earlier data."""
    if batch.fresh:
        executor.submit(partial(_finish_points, batch.fresh, state.store))
    if batch.resumed:
        new = pl.concat(batch.resumed)
        old = state.store.series.filter(pl.col("run_id").is_in(new["run_id"].unique().to_list()))
        points = sequenced(new, old)
        state.change.points.append(points)
        state.change.series.append(continue_series(old, points, state.store.earlier))


def _finish_points(fresh: list[pl.DataFrame], store: MemoryStore) -> _ReadResult:
    """Numbers the points of new readings, reduces them to series, and writes them if they are many."""
    points = sequenced(pl.concat(fresh))
    return _ReadResult(store.spill(points) or points, reduce_series(points))
