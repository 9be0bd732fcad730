"""Sources that must be read -> a `StoreChange`: many together where their reader can, the others one by one.

Sources that go together are read in parts of some megabytes, each part in a thread from its bytes to its points on disk and
their series, while the walk may still find more. A source that cannot be read is a problem, not an end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import cast

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.ingest.masking import without_secrets
from sweeplens.ingest.prefetch import OrderedExecutor
from sweeplens.readers import loaded_reader
from sweeplens.readers.boundary import Failure, contained
from sweeplens.readers.checked import checked
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.decoding.zero_steps import numbered
from sweeplens.readers.protocol import BatchReader, CombinedReading, Problem, Reader, Reading, Source
from sweeplens.safe_open import confined
from sweeplens.source_limits import time_limit
from sweeplens.store import MemoryStore, StoreChange
from sweeplens.store.blocks import FileBlock
from sweeplens.store.ledger import Key, SourceEntry, content_of, continued, fingerprints_of, is_young
from sweeplens.store.merge import continue_series, sequenced

__all__ = ["Progress", "ReadTask", "read_all", "within_limits"]

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) while work goes on; whoever is told may end it. ``total`` grows while more is found."""

_BATCH_ROWS = 1_000_000  # points that are kept in memory before they are numbered, reduced and written
_PART_BYTES = 24 << 20  # of files that are read together
_TELL_EVERY = 20  # sources
_UNREAD = "could not be read as"
_NEVER = -1  # the checksum of no content: such a source counts as changed whenever it is looked at


@contextmanager
def within_limits(sources: Sequence[Source]) -> Generator[None]:
    """Around the reading of sources: nothing outside of their roots is opened, and their time is limited."""
    size = sum(f.size for s in sources for f in s.files)
    with confined(s.root for s in sources), time_limit(size):
        yield


class ReadTask(Struct, frozen=True):
    """One source to read; ``entry`` is what it gave before, ``goes_on`` whether the reading begins where that one ended."""

    source: Source
    reader: Reader
    entry: SourceEntry | None = None
    goes_on: bool = False

    @property
    def key(self) -> Key:
        """What identifies the source."""
        return self.source.key


class _ReadResult(Struct, frozen=True):
    """What a thread brings: entries, and their points, numbered and reduced, as a file or as a frame."""

    points: FileBlock | pl.DataFrame | None = None
    series: pl.DataFrame | None = None
    tasks: list[ReadTask] = field(default_factory=list[ReadTask])  # that were read together
    entries: list[SourceEntry] = field(default_factory=list[SourceEntry])  # of those of them that could be


class _ReadPart(Struct):
    """Sources on their way to be read together, and their bytes."""

    tasks: list[ReadTask] = field(default_factory=list[ReadTask])
    size: int = 0


class _ReadBatch(Struct):
    """Readings of some sources, as frames of reading points under unique ids."""

    fresh: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    further: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])

    @property
    def rows(self) -> int:
        """Points so far."""
        return sum(f.height for f in (*self.fresh, *self.further))


def read_all(
    tasks: Iterable[ReadTask], gone: Iterable[Key], store: MemoryStore, progress: Progress | None
) -> StoreChange:
    """Everything that the tasks gave, and that what is gone gave before."""
    work = _ReadState(store, StoreChange(gone=list(gone)), progress)
    for key in work.change.gone:
        work.void(store.ledger.get(key))
    with OrderedExecutor(work.take) as ahead:
        _read_together(tasks, work, ahead)
        _read_alone(work, ahead)
    work.change.points += work.kept
    return work.change


class _ReadState:
    """What goes on: where readings are entered, what is left to be read alone, and who is told of it."""

    def __init__(self, store: MemoryStore, change: StoreChange, progress: Progress | None) -> None:
        self.store = store
        self.change = change
        self.alone: list[ReadTask] = []
        self.kept: list[pl.DataFrame] = []  # points that were too few for a file of their own
        self._progress = progress
        self._found = self._done = 0
        self._told = -_TELL_EVERY

    def meet(self, task: ReadTask) -> None:
        """One more is to be read."""
        self._found += 1
        self._tell(task)

    def finished(self, task: ReadTask, count: int = 1) -> None:
        """So many have been read, the last of them this one."""
        self._done += count
        self._tell(task)

    def _tell(self, task: ReadTask) -> None:
        if self._progress and self._done + self._found - self._told >= _TELL_EVERY:
            self._told = self._done + self._found
            self._progress(self._done, self._found, task.source.relative)

    def take(self, load: _ReadResult) -> None:
        """Enter what a thread brought; what it could not read is read alone."""
        for entry in load.entries:
            self.change.entries[entry.key] = entry
        if isinstance(load.points, FileBlock):
            self.change.files.append(load.points)
        elif load.points is not None and load.points.height:
            few = load.points.height < _BATCH_ROWS
            (self.kept if few else self.change.points).append(load.points)
        if load.series is not None:
            self.change.series.append(load.series)
        read = [t for t in load.tasks if t.key in self.change.entries]
        self.alone += [t for t in load.tasks if t.key not in self.change.entries]
        for task in read:
            self.void(task.entry)
        if read:
            self.finished(read[-1], len(read))

    def void(self, entry: SourceEntry | None) -> None:
        """Everything that a source gave before is dropped."""
        if entry is not None:
            self.change.dropped.update(entry.ids)
            self.change.freed.update(r.id for r in entry.records)

    def provisional(self, run_id: str, key: Key) -> str:
        """An id that nobody else has meanwhile; the store gives the rightful one when all are known."""
        if self.change.given.setdefault(run_id, key) != key:
            return f"{run_id}@{key[1]}:{key[0]}"
        return self.store.ledger.free_id(run_id, key)


# ------------------------------------------------------------------ many together


def _read_together(tasks: Iterable[ReadTask], work: _ReadState, ahead: OrderedExecutor[_ReadResult]) -> None:
    """Have the sources that go together read in parts; the others are left to be read alone."""
    parts: dict[str, _ReadPart] = {}
    for task in tasks:
        work.meet(task)
        reader = _batch_reader(task.reader)
        if task.goes_on or reader is None or not reader.goes_together(task.source):
            work.alone.append(task)
            continue
        part = parts.setdefault(reader.name, _ReadPart())
        part.tasks.append(task)
        part.size += task.source.files[0].size
        if part.size >= _PART_BYTES:
            _submit_part(parts.pop(reader.name), work, ahead)
            _spill_kept(work, ahead)
    for part in parts.values():
        _submit_part(part, work, ahead)
    ahead.finish()


def _batch_reader(reader: Reader) -> BatchReader | None:
    """The reader as one that reads many together, if it does; asked of its class, as that takes a while."""
    found = loaded_reader(reader)
    return cast("BatchReader", found) if _is_batch_reader(type(found)) else None


@cache
def _is_batch_reader(kind: type) -> bool:
    return all(hasattr(kind, verb) for verb in ("goes_together", "read_many"))


def _spill_kept(work: _ReadState, ahead: OrderedExecutor[_ReadResult]) -> None:
    """Have points that came in small frames written, where together they are many."""
    if sum(f.height for f in work.kept) >= _BATCH_ROWS:
        ahead.give(partial(_spilled, pl.concat(work.kept), work.store))
        work.kept = []


def _spilled(points: pl.DataFrame, store: MemoryStore) -> _ReadResult:
    return _ReadResult(store.spill(points) or points)


def _submit_part(part: _ReadPart, work: _ReadState, ahead: OrderedExecutor[_ReadResult]) -> None:
    names = {t.source.path: work.provisional(t.source.relative, t.key) for t in part.tasks}
    ahead.give(partial(_read_part_within, part.tasks, names, work.store))


def _read_part_within(tasks: list[ReadTask], names: dict[str, str], store: MemoryStore) -> _ReadResult:
    with within_limits([t.source for t in tasks]):
        return _read_part(tasks, names, store)


def _read_part(tasks: list[ReadTask], names: dict[str, str], store: MemoryStore) -> _ReadResult:
    """Read sources of one reader together, as far as that can be. Runs in a thread, and changes nothing."""
    reader = _batch_reader(tasks[0].reader)
    assert reader is not None
    young = {t.source.path: _content_if_young(t.source) for t in tasks}
    sources = [t.source for t in tasks]
    many = contained(lambda: _many(reader, sources, names), tasks[0].source.path, "cannot be read together with others")
    if isinstance(many, Failure):
        return _ReadResult(tasks=tasks)  # one of them: each says for itself
    entries = [
        _entry(t, _masked(many.readings[path], store), (names[path],), young[path])
        for t in tasks
        if (path := t.source.path) in many.readings
    ]
    file = store.spill(many.points, ordered=True)
    return _ReadResult(file or many.points.cast(POINTS_SCHEMA), many.series, tasks, entries)  # pyright: ignore[reportArgumentType]


def _many(reader: BatchReader, sources: list[Source], names: Mapping[str, str]) -> CombinedReading:
    """Sources read together; their readings are as they must be."""
    many = reader.read_many(sources, names)
    return replace(many, readings={path: checked(reading) for path, reading in many.readings.items()})


def _content_if_young(source: Source) -> int | None:
    return content_of(source) if is_young(source, time.time_ns()) else None


def _masked(reading: Reading, store: MemoryStore) -> Reading:
    return reading if store.shows_secrets else without_secrets(reading)


def _entry(task: ReadTask, reading: Reading, ids: tuple[str, ...], content: int | None) -> SourceEntry:
    """What the ledger keeps of a reading."""
    marks = fingerprints_of(task.source, reading.resume)
    return SourceEntry(
        task.source, task.reader.version, reading.runs, ids, reading.problems, reading.resume, marks, content
    )


# ------------------------------------------------------------------ one by one


def _read_alone(work: _ReadState, ahead: OrderedExecutor[_ReadResult]) -> None:
    """Read one source after the other, and finish whenever many points came together."""
    batch = _ReadBatch()
    for task in work.alone:
        with within_limits([task.source]):
            _read_one(task, work, batch)
        work.finished(task)
        if batch.rows >= _BATCH_ROWS:
            _finish(batch, work, ahead)
            batch = _ReadBatch()
    _finish(batch, work, ahead)


def _read_one(task: ReadTask, work: _ReadState, batch: _ReadBatch) -> None:
    """Read one source into the batch, and enter it in the change."""
    content = _content_if_young(task.source)
    entry = task.entry if task.goes_on else None
    reading = _go_on(task.reader, task.source, entry) if entry else None
    if reading is None:  # none to go on with, or it could not
        entry, reading = None, _read(task.reader, task.source)
        if isinstance(reading, Failure):
            if task.entry is not None and task.entry.ids:
                _leave(task, task.entry, reading.problem, work.change)
                return
            content = _NEVER if reading.passing else content
            reading = Reading((), empty_reading_points(), (reading.problem,))
        work.void(task.entry)
    reading = _masked(reading, work.store)
    known = dict(zip((r.id for r in entry.records), entry.ids, strict=True)) if entry else {}
    ids = tuple(known.get(r.id) or work.provisional(r.id, task.key) for r in reading.runs)
    work.change.entries[task.key] = _entry(task, reading, ids, content)
    if reading.points.height:
        renamed = {r.id: i for r, i in zip(reading.runs, ids, strict=True) if r.id != i}
        points = reading.points.with_columns(pl.col("run_id").replace(renamed)) if renamed else reading.points
        (batch.further if entry else batch.fresh).append(points)


def _leave(task: ReadTask, entry: SourceEntry, problem: Problem, change: StoreChange) -> None:
    """A source that cannot be read now (a database may be locked) keeps what it gave, says so, and is tried again."""
    said = replace(problem, reason=f"{problem.reason}; what was read of it before stays until it can be read again")
    problems = (*(p for p in entry.problems if not p.reason.startswith(_UNREAD)), said)
    left = replace(entry, source=task.source, problems=problems, resume=None, content=_NEVER)
    if left != entry:
        change.entries[task.key] = left


def _go_on(reader: Reader, source: Source, entry: SourceEntry) -> Reading | None:
    """What was appended; None where the reader cannot go on after all, or where step 0 may mean that there was no step."""
    reading = contained(lambda: _appended(reader, source, entry), source.path, "the reading cannot go on")
    return None if isinstance(reading, Failure) else reading


def _appended(reader: Reader, source: Source, entry: SourceEntry) -> Reading | None:
    further = checked(reader.read(source, entry.resume))
    return None if (further.points["step"] == 0).any() else checked(continued(entry, further))


def _read(reader: Reader, source: Source) -> Reading | Failure:
    """Everything; of a source that cannot be read, the failure."""
    return contained(lambda: numbered(checked(reader.read(source, None))), source.path, f"{_UNREAD} {reader.name}")


def _finish(batch: _ReadBatch, work: _ReadState, ahead: OrderedExecutor[_ReadResult]) -> None:
    """Have the points of new readings finished, and join those of readings that went on with what is known."""
    if batch.fresh:
        ahead.give(partial(_finished, batch.fresh, work.store))
    if batch.further:
        new = pl.concat(batch.further)
        old = work.store.series.filter(pl.col("run_id").is_in(new["run_id"].unique().to_list()))
        points = sequenced(new, old)
        work.change.points.append(points)
        work.change.series.append(continue_series(old, points, work.store.earlier))


def _finished(fresh: list[pl.DataFrame], store: MemoryStore) -> _ReadResult:
    """Number the points of new readings, reduce them to series, and write them where they are many."""
    points = sequenced(pl.concat(fresh))
    return _ReadResult(store.spill(points) or points, reduce_series(points))
