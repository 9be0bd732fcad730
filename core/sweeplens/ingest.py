"""Sources that changed -> store. Unchanged sources are not opened; a source that cannot be read is a problem, not an end.

A source that only grew is read from where its last reading ended, and its series go on from what they were; any other
change is a new reading, and everything that the source gave before leaves in the same step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.discover import Discovery, discover
from sweeplens.errors import FormatError
from sweeplens.points import reduce_series
from sweeplens.readers import all_readers, opened
from sweeplens.readers.protocol import Problem, Reader, Reading, ReadsMany, Source
from sweeplens.readers.values import empty_reading_points
from sweeplens.store import Change, MemoryStore, Snapshot
from sweeplens.store.ledger import Entry, Key, can_resume, content_of, continued, is_young, marks_of
from sweeplens.store.merge import continue_series, sequenced
from sweeplens.store.spilling import Spilling

__all__ = ["LoadReport", "Progress", "ingest"]

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) while work goes on."""

_BATCH_ROWS = 1_000_000  # points that are kept in memory before they are numbered, reduced and written
_TELL_EVERY = 20  # sources
_UNREAD = "could not be read as"
_NEVER = -1  # the checksum of no content: such a source counts as changed whenever it is looked at


class LoadReport(Struct, frozen=True):
    """What a load found. ``problems`` are all of them, those of earlier loads included."""

    n_runs: int
    n_points: int
    n_files: int
    n_malformed: int
    problems: tuple[Problem, ...]
    seconds: float


class _Task(Struct, frozen=True):
    """One source to read; ``entry`` is what it gave before, ``goes_on`` whether the reading begins where that one ended."""

    source: Source
    reader: Reader
    entry: Entry | None
    goes_on: bool

    @property
    def key(self) -> Key:
        """What identifies the source."""
        return self.source.reader, self.source.path


class _Batch(Struct):
    """Readings of some sources, as frames of reading points under unique ids."""

    fresh: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    further: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])

    @property
    def rows(self) -> int:
        """Points so far."""
        return sum(f.height for f in (*self.fresh, *self.further))


class _Work(Struct):
    """What goes on: where readings are entered, and who is told of it."""

    store: MemoryStore
    change: Change
    spilling: Spilling
    progress: Progress | None
    total: int
    done: int = 0
    told: int = -_TELL_EVERY

    def report(self, task: _Task, more: int = 0) -> None:
        """Tell now and then how far it is; whoever is told may end the work."""
        self.done += more
        if self.progress and self.done - self.told >= _TELL_EVERY:
            self.told = self.done
            self.progress(self.done, self.total, task.source.relative)


def ingest(roots: Sequence[Path], store: MemoryStore, *, progress: Progress | None = None) -> LoadReport:
    """Bring the store up to what is on disk now."""
    began = time.perf_counter()
    readers = all_readers()
    with store.updating():
        found = discover(roots, readers, memory=store.remembered)
        tasks, gone = _plan(found, store, {r.name: r for r in readers})
        if tasks or gone or found is not store.found:
            store.apply(_read_all(tasks, gone, store, progress), found)
    return _report(store.snapshot, time.perf_counter() - began)


def _plan(found: Discovery, store: MemoryStore, readers: Mapping[str, Reader]) -> tuple[list[_Task], list[Key]]:
    """What must be read, and which sources are gone."""
    tasks: list[_Task] = []
    gone: list[Key] = []
    ledger = store.ledger
    if found is not store.found:
        before = {id(s) for s in store.found.sources} if store.found else set[int]()
        for source in found.sources:
            if id(source) in before:
                continue
            known = ledger.source((source.reader, source.path))
            if known is not source and known != source:
                entry, reader = ledger.get((source.reader, source.path)), readers[source.reader]
                goes_on = (
                    entry is not None and store.has_points(entry.ids) and can_resume(entry, source, reader.version)
                )
                tasks.append(_Task(source, reader, entry, goes_on))
        present = {(s.reader, s.path) for s in found.sources}
        gone = [key for key in ledger if key not in present]
    seen = {(t.source.reader, t.source.path) for t in tasks} | set(gone)
    return [*tasks, *_changed_unseen(store, seen, readers)], gone


def _changed_unseen(store: MemoryStore, seen: set[Key], readers: Mapping[str, Reader]) -> list[_Task]:
    """Young sources whose content changed though sizes and times are equal; the others are left to grow old."""
    tasks: list[_Task] = []
    for key in store.ledger.young - seen:
        entry = store.ledger.get(key)
        if entry is None:
            continue
        if content_of(entry.source) != entry.content:
            tasks.append(_Task(entry.source, readers[entry.source.reader], entry, goes_on=False))
        else:
            store.ledger.settle(key)
    return tasks


def _read_all(tasks: Sequence[_Task], gone: Sequence[Key], store: MemoryStore, progress: Progress | None) -> Change:
    """Read the sources: what can be read together first, then the others one by one."""
    change = Change(gone=list(gone))
    for key in gone:
        _void(change, store.ledger.get(key))
    with Spilling(store, change) as spilling:
        work = _Work(store, change, spilling, progress, len(tasks))
        _read_alone(_read_together(tasks, work), work)
    return change


def _read_together(tasks: Sequence[_Task], work: _Work) -> list[_Task]:
    """Read at once what readers can read together; the tasks that are left."""
    groups: dict[str, list[_Task]] = {}
    for task in tasks:
        if not task.goes_on:
            groups.setdefault(task.reader.name, []).append(task)
    for group in groups.values():
        _read_group(group, work)
    return [t for t in tasks if t.key not in work.change.entries]


def _read_group(tasks: Sequence[_Task], work: _Work) -> None:
    """Read the sources of one reader, as far as it can read them together with others."""
    reader = opened(tasks[0].reader)
    if not isinstance(reader, ReadsMany):
        return
    by_path = {t.source.path: t for t in tasks}
    names = {t.source.path: _provisional(t.source.relative, t.key, work.store, work.change) for t in tasks}
    young = {t.source.path: _content_if_young(t.source) for t in tasks}
    work.report(tasks[0])
    try:
        for many in reader.read_many([t.source for t in tasks], names):
            for path, reading in many.readings.items():
                _void(work.change, by_path[path].entry)
                _enter(by_path[path], reading, (names[path],), young[path], work.change)
            work.spilling.keep(many.points, ordered=True)
            work.change.series.append(many.series)
            work.report(by_path[next(iter(many.readings))], len(many.readings))
    except (FormatError, OSError):
        return  # one of them: each says for itself


def _read_alone(tasks: Sequence[_Task], work: _Work) -> None:
    """Read one source after the other, and finish whenever many points came together."""
    batch = _Batch()
    for index, task in enumerate(tasks):
        work.report(task, int(index > 0))
        _read_one(task, work.store, work.change, batch)
        if batch.rows >= _BATCH_ROWS:
            _finish(batch, work)
            batch = _Batch()
    _finish(batch, work)


def _content_if_young(source: Source) -> int | None:
    return content_of(source) if is_young(source, time.time_ns()) else None


def _enter(task: _Task, reading: Reading, ids: tuple[str, ...], content: int | None, change: Change) -> None:
    """Enter what a source gave in the change."""
    source = task.source
    marks = marks_of(source, reading.resume)
    change.entries[source.reader, source.path] = Entry(
        source, task.reader.version, reading.runs, ids, reading.problems, reading.resume, marks, content
    )


def _void(change: Change, entry: Entry | None) -> None:
    """Everything that a source gave before is dropped."""
    if entry is not None:
        change.dropped.update(entry.ids)
        change.freed.update(r.id for r in entry.records)


def _read_one(task: _Task, store: MemoryStore, change: Change, batch: _Batch) -> None:
    """Read one source into the batch, and enter it in the change."""
    content = _content_if_young(task.source)
    entry = task.entry if task.goes_on else None
    reading = _go_on(task.reader, task.source, entry) if entry else None
    if reading is None:  # none to go on with, or it could not
        entry, reading = None, _read(task.reader, task.source)
        if isinstance(reading, Problem):
            if task.entry is not None and task.entry.ids:
                _leave(task, task.entry, reading, change)
                return
            reading = Reading((), empty_reading_points(), (reading,))
        _void(change, task.entry)
    known = dict(zip((r.id for r in entry.records), entry.ids, strict=True)) if entry else {}
    ids = tuple(known.get(r.id) or _provisional(r.id, task.key, store, change) for r in reading.runs)
    _enter(task, reading, ids, content, change)
    if reading.points.height:
        renamed = {r.id: i for r, i in zip(reading.runs, ids, strict=True) if r.id != i}
        points = reading.points.with_columns(pl.col("run_id").replace(renamed)) if renamed else reading.points
        (batch.further if entry else batch.fresh).append(points)


def _leave(task: _Task, entry: Entry, problem: Problem, change: Change) -> None:
    """A source that cannot be read now (a database may be locked) keeps what it gave, says so, and is tried again."""
    said = replace(problem, reason=f"{problem.reason}; what was read of it before stays until it can be read again")
    problems = (*(p for p in entry.problems if not p.reason.startswith(_UNREAD)), said)
    left = replace(entry, source=task.source, problems=problems, resume=None, content=_NEVER)
    if left != entry:
        change.entries[task.key] = left


def _provisional(run_id: str, key: Key, store: MemoryStore, change: Change) -> str:
    """An id that nobody else has meanwhile; the store gives the rightful one when all are known."""
    if change.given.setdefault(run_id, key) != key:
        return f"{run_id}@{key[1]}:{key[0]}"
    return store.ledger.free_id(run_id, key)


def _go_on(reader: Reader, source: Source, entry: Entry) -> Reading | None:
    """What was appended; None where the reader cannot go on after all."""
    try:
        return continued(entry, reader.read(source, entry.resume))
    except (FormatError, OSError):
        return None


def _read(reader: Reader, source: Source) -> Reading | Problem:
    """Everything; of a source that cannot be read, the problem."""
    try:
        return reader.read(source, None)
    except (FormatError, OSError) as error:
        return Problem(source.path, f"{_UNREAD} {reader.name}: {error}")


def _finish(batch: _Batch, work: _Work) -> None:
    """Number the points of a batch and reduce them to series."""
    change = work.change
    if batch.fresh:
        points = sequenced(pl.concat(batch.fresh))
        work.spilling.keep(points)
        change.series.append(reduce_series(points))
    if batch.further:
        new = pl.concat(batch.further)
        old = work.store.series.filter(pl.col("run_id").is_in(new["run_id"].unique().to_list()))
        points = sequenced(new, old)
        change.points.append(points)
        change.series.append(continue_series(old, points, work.store.earlier))


def _report(snapshot: Snapshot, seconds: float) -> LoadReport:
    return LoadReport(
        n_runs=snapshot.runs.height,
        n_points=int(snapshot.series["n_logged"].sum()),
        n_files=sum(len(s.files) for s in snapshot.sources),
        n_malformed=sum(p.kind == "malformed" for p in snapshot.problems),
        problems=snapshot.problems,
        seconds=seconds,
    )
