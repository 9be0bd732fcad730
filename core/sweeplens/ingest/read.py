"""Reads sources into a `StoreChange`: many together where their reader can, the others one by one.

Sources that can be read together are read in parts of some megabytes. A thread takes each part from bytes to stored points
and series, while the walk may still find more. A source that cannot be read becomes a problem; the others are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import cast

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.ingest.masking import masked, without_secrets
from sweeplens.ingest.prefetch import OrderedExecutor
from sweeplens.ingest.reported import has_scores, scores_together, with_scores
from sweeplens.readers import loaded_reader
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.checked import checked
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.decoding.zero_steps import numbered
from sweeplens.readers.protocol import BatchReader, CombinedReading, Problem, Reader, Reading, Source
from sweeplens.safe_open import confined
from sweeplens.source_limits import time_limit
from sweeplens.sources.run_facts import Facts, facts_of, with_facts
from sweeplens.sources.signs import status_by_signs
from sweeplens.store import MemoryStore, StoreChange
from sweeplens.store.blocks import FileBlock
from sweeplens.store.ledger import Key, SourceEntry, content_of, continued, fingerprints_of, is_young
from sweeplens.store.merge import continue_series, sequenced

__all__ = ["Progress", "ReadTask", "keep_earlier", "read_all", "unread_reason", "within_limits"]

Progress = Callable[[int, int, str], None]
"""Called with (done, total, path) during work; it may raise to end the work. ``total`` grows while more is found."""

_BATCH_ROWS = 1_000_000  # points kept in memory before they are numbered, reduced and written
_PART_BYTES = 24 << 20  # size of files that are read together
_REPORT_EVERY = 20  # sources
_RECENT = 24 * 3600 * 10**9  # an older change is no evidence of a program that writes now
_COPYING = 5 * 10**9  # the longest that a copy of one file takes, but for very large ones
_UNREAD = "could not be read as"
_NO_CHECKSUM = -1  # no content has this checksum: such a source counts as changed at every refresh


@contextmanager
def within_limits(sources: Sequence[Source]) -> Generator[None]:
    """Limits the reading of sources: only files below their roots can be opened, and the time is limited."""
    size = sum(f.size for s in sources for f in s.files)
    with confined(s.root for s in sources), time_limit(size):
        yield


class ReadTask(Struct, frozen=True):
    """One source to read. ``entry``: the result of an earlier reading; ``goes_on``: whether to resume at its end."""

    source: Source
    reader: Reader
    entry: SourceEntry | None = None
    resumes: bool = False

    @property
    def key(self) -> Key:
        """Returns the key of the source."""
        return self.source.key


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
        _read_alone(state, executor)
    state.change.points += state.small_frames
    return state.change


class _ReadState:
    """Collects results, keeps the tasks that are left to be read alone, and reports progress."""

    def __init__(self, store: MemoryStore, change: StoreChange, progress: Progress | None) -> None:
        self.store = store
        self.change = change
        self.alone: list[ReadTask] = []
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
            state.alone.append(task)
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
    young = {t.source.path: _content_if_young(t.source) for t in tasks}
    sources = [t.source for t in tasks]
    many = guarded(
        lambda: _read_many(reader, sources, names), tasks[0].source.path, "cannot be read together with others"
    )
    if isinstance(many, Failure):
        return _ReadResult(tasks=tasks)  # one of them failed: each is then read alone
    facts = {t.source.path: _facts(t.source, store) for t in tasks if t.source.path in many.readings}
    scores = scores_together(many, [(s, names[s.path]) for s in sources], facts)
    entries = [
        _entry(
            t, _described(scores.readings[path], facts[path], store), (names[path],), young[path], path in scores.scored
        )
        for t in tasks
        if (path := t.source.path) in many.readings
    ]
    file = store.spill(many.points, ordered=True)
    reported = sequenced(scores.points) if scores.points.height else None
    series = many.series if reported is None else pl.concat([many.series, reduce_series(reported)])
    return _ReadResult(file or many.points.cast(POINTS_SCHEMA), series, reported, tasks, entries)  # pyright: ignore[reportArgumentType]


def _read_many(reader: BatchReader, sources: list[Source], names: Mapping[str, str]) -> CombinedReading:
    """Reads sources together and checks their readings."""
    many = reader.read_many(sources, names)
    return replace(many, readings={path: checked(reading) for path, reading in many.readings.items()})


def _content_if_young(source: Source) -> int | None:
    return content_of(source) if is_young(source, time.time_ns()) else None


def _facts(source: Source, store: MemoryStore) -> Facts:
    """Returns the facts in files beside a source, without secrets."""
    found: Facts = facts_of(source) if source.signs else {}
    return found if store.shows_secrets else cast("Facts", masked(found))


def _described(reading: Reading, facts: Facts, store: MemoryStore) -> Reading:
    """Returns the reading with the facts in files beside its source, and without secrets."""
    described = with_facts(reading, facts)
    return described if store.shows_secrets else without_secrets(described)


def _entry(task: ReadTask, reading: Reading, ids: tuple[str, ...], content: int | None, scored: bool) -> SourceEntry:
    """Returns the ledger entry of a reading. ``scored``: whether it has scores from files beside the source."""
    return SourceEntry(
        task.source,
        task.reader.version,
        reading.runs,
        ids,
        reading.problems,
        reading.resume,
        fingerprints_of(task.source, reading.resume),
        content,
        ended=status_by_signs(task.source) if task.source.signs else "",
        grows=_grows(task),
        scored=scored,
    )


def _grows(task: ReadTask) -> bool:
    """Whether a program was seen to write the source: it was written to after it was put into its folder.

    A copy or a checkout creates each file and writes it at once, so that no file is much newer than its folder.
    """
    newest = max(task.source.files, key=lambda f: f.mtime_ns)
    if newest.mtime_ns < time.time_ns() - _RECENT:
        return False
    try:
        created = Path(newest.path).parent.stat().st_mtime_ns
    except OSError:
        return False
    return newest.mtime_ns > created + _COPYING


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
    content = _content_if_young(task.source)
    facts = _facts(task.source, state.store)
    entry = task.entry if task.resumes else None
    reading = _resume(task.reader, task.source, entry) if entry else None
    if reading is None or has_scores(
        reading, facts
    ):  # nothing to resume, or it failed, or scores move to the new last step
        entry, reading = None, _read(task.reader, task.source)
        if isinstance(reading, Failure):
            if task.entry is not None and task.entry.ids:
                keep_earlier(task, task.entry, reading.problem, state.change)
                return
            content = _NO_CHECKSUM if reading.is_transient else content
            reading = Reading((), empty_reading_points(), (reading.problem,))
        state.drop_earlier(task.entry)
    scored = False
    if entry is None:
        reading, scored = with_scores(task.source, reading, facts)
    reading = _described(reading, facts, state.store)
    known = dict(zip((r.id for r in entry.records), entry.ids, strict=True)) if entry else {}
    ids = tuple(known.get(r.id) or state.provisional_id(r.id, task.key) for r in reading.runs)
    state.change.entries[task.key] = _entry(task, reading, ids, content, scored)
    if reading.points.height:
        renamed = {r.id: i for r, i in zip(reading.runs, ids, strict=True) if r.id != i}
        points = reading.points.with_columns(pl.col("run_id").replace(renamed)) if renamed else reading.points
        batch.add(points, is_resumed=entry is not None)


def keep_earlier(task: ReadTask, entry: SourceEntry, problem: Problem, change: StoreChange) -> None:
    """Keeps the earlier data of a source that cannot be read now (such as a locked database), with a problem; it is retried."""
    noted = replace(problem, reason=f"{problem.reason}; its earlier data stay until it can be read again")
    problems = (*(p for p in entry.problems if not p.reason.startswith(_UNREAD)), noted)
    kept_entry = replace(entry, source=task.source, problems=problems, resume=None, content=_NO_CHECKSUM)
    if kept_entry != entry:
        change.entries[task.key] = kept_entry


def unread_reason(entry: SourceEntry) -> Problem | None:
    """Returns the problem of a source that could not be read at all; None if it was read."""
    problems = entry.problems if not entry.records else ()
    return next((p for p in problems if p.reason.startswith(_UNREAD)), None)


def _resume(reader: Reader, source: Source, entry: SourceEntry) -> Reading | None:
    """Returns the appended data; None if resuming fails, or if a step 0 may mean that no step was logged."""
    reading = guarded(lambda: _appended(reader, source, entry), source.path, "the reading cannot be resumed")
    return None if isinstance(reading, Failure) else reading


def _appended(reader: Reader, source: Source, entry: SourceEntry) -> Reading | None:
    resumed = checked(reader.read(source, entry.resume))
    return None if (resumed.points["step"] == 0).any() else checked(continued(entry, resumed))


def _read(reader: Reader, source: Source) -> Reading | Failure:
    """Reads all of a source; returns the failure if it cannot be read."""
    return guarded(lambda: numbered(checked(reader.read(source, None))), source.path, f"{_UNREAD} {reader.name}")


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
