"""Brings a store up to date with folders that the executors of a cluster read.

This process lists the folders and decides which sources are read, as a local ingest does. Executors read them and write
points. Then this process applies entries and series to the store and replaces HEAD, once. Until then nothing is visible;
a file that HEAD does not name, such as one of an attempt that failed, never counts, and is removed at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from sweeplens.cancellation import checkpoint
from sweeplens.engines.spark_progress import StageReport
from sweeplens.engines.spark_session import SparkConnection
from sweeplens.errors import EngineError, StoreError
from sweeplens.ingest.cluster.parts import PartResult, RenameTask, StoreTarget, parts_of
from sweeplens.ingest.cluster.reading import read_parts, rename_parts
from sweeplens.ingest.entries import ReadTask
from sweeplens.ingest.masking import masked
from sweeplens.ingest.read import keep_earlier, unread_reason
from sweeplens.ingest.refresh import LoadReport, load_report, plan_changes
from sweeplens.places.remote import PlaceListing
from sweeplens.readers import all_readers
from sweeplens.sources.discover import discover
from sweeplens.store import PersistentStore, StoreChange
from sweeplens.store.backends.backend import BackendUnreachableError, HeadMovedError, TableFile
from sweeplens.store.backends.local import LocalBackend
from sweeplens.store.files import as_block, keep_state
from sweeplens.store.head import read_head
from sweeplens.store.ledger import Key, Ledger, SourceEntry
from sweeplens.store.names import fresh_id, name_of_state, state_of_mark

__all__ = ["ingest_on_cluster"]

log = logging.getLogger("sweeplens.ingest")

_TRIES = 5  # other processes may write the store meanwhile; what was read is not read again
_PAUSE_SECONDS = 0.2


def ingest_on_cluster(
    roots: Sequence[Path],
    store: PersistentStore,
    connection: SparkConnection,
    progress: StageReport | None = None,
    places: Callable[[], Sequence[PlaceListing]] = tuple,
) -> LoadReport:
    """Reads what is new or changed on the executors, and commits it once. ``places``: roots that executors fetch from buckets.

    Raises EngineError if the cluster does not answer or a job fails, StoreError if the store cannot be written: then the
    store is as it was.
    """
    began = time.perf_counter()
    load = _ClusterLoad(roots, store, connection, progress, places())
    try:
        load.run()
    finally:
        load.remove_leftovers()
    return load_report(store.snapshot, time.perf_counter() - began)


class _ClusterLoad:
    """One ingest. What executors have read is kept while other processes write the store, so that nothing is read twice."""

    def __init__(
        self,
        roots: Sequence[Path],
        store: PersistentStore,
        connection: SparkConnection,
        progress: StageReport | None,
        places: Sequence[PlaceListing],
    ) -> None:
        self._roots, self._store, self._connection, self._progress = roots, store, connection, progress
        self._places = places
        store.mask = masked
        backend = store.backend
        is_shared = isinstance(backend, LocalBackend) and backend.shared
        self._target = StoreTarget.at(
            backend.address, fresh_id()[:16], shared=is_shared, shows_secrets=store.shows_secrets
        )
        self._results: list[PartResult] = []

    def run(self) -> None:
        """Reads and commits; again from the new HEAD if another process wrote meanwhile."""
        for left in reversed(range(_TRIES)):
            try:
                with self._store.updating():
                    self._update()
                    self._store.commit()
            except HeadMovedError:
                if not left:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def remove_leftovers(self) -> None:
        """Removes the files of this ingest that HEAD does not name: of attempts that failed, or of an ingest that did."""
        backend, mark = self._store.backend, f"points/{self._target.mark}"
        try:
            backend.remove([name_of_state(state_of_mark(self._target.mark))])
            written = [name for name, _ in backend.written() if name.startswith(mark)]
            head = read_head(backend) if written else None
            backend.remove(set(written) - set(head.files if head else ()))
        except (OSError, StoreError) as error:
            log.info("Files of %s that nothing names are removed in an hour: %s", backend.address, error)

    # --------------------------------------------------------------- private

    def _update(self) -> None:
        store = self._store
        if store.warnings:
            raise StoreError(f"Nothing can be ingested: {store.warnings[0]}.")
        try:
            self._apply()
        except BackendUnreachableError:
            raise
        except StoreError as error:  # its content cannot be decoded
            store.forget(error)
            self._apply()

    def _apply(self) -> None:
        store, readers = self._store, {r.name: r for r in all_readers()}
        found = discover(self._roots, readers.values(), memory=store.remembered)
        tasks, gone = plan_changes(found, store, readers)
        if not tasks and not gone and found is store.found:
            return
        self._read(tasks)
        self._rename(tasks)
        checkpoint()
        change = StoreChange(gone=list(gone))
        for key in gone:
            _drop(store.ledger.get(key), change)
        for result, entries in self._chosen(tasks):
            self._add(result, entries, change)
        for task in tasks:
            self._settle(task, change)
        self._adopt([file for result, _ in self._chosen(tasks) for file in result.files])
        store.apply(change, found)

    def _adopt(self, files: Sequence[TableFile]) -> None:
        """Checks that this process sees the files that executors wrote. Raises EngineError."""
        try:
            self._store.backend.adopt(files)
        except BackendUnreachableError:
            raise
        except (OSError, StoreError) as error:
            raise EngineError(
                f"The executors wrote files that this machine does not see in the store {self._store.backend.address} "
                f"({error}). The store (ANALYSIS_CACHE_DIR) must be an object store, or one folder that all of them mount."
            ) from error

    def _read(self, tasks: Iterable[ReadTask]) -> None:
        """Reads the sources that no executor has read yet."""
        read = {e.key: e.source for result in self._results for e in result.entries}
        new = [(t.source, t.reader.version) for t in tasks if read.get(t.key) != t.source]
        if not new:
            return
        keep_state(self._store.backend, state_of_mark(self._target.mark), b"ingest")  # spares what executors write
        results = read_parts(self._connection, parts_of(new, self._target, self._places), self._progress)
        returned = {e.key for result in results for e in result.entries}
        if missing := [source.path for source, _ in new if source.key not in returned]:
            raise EngineError(f"The executors returned nothing for {len(missing)} sources, such as {missing[0]!r}.")
        self._results += results

    def _chosen(self, tasks: Iterable[ReadTask]) -> list[tuple[PartResult, list[SourceEntry]]]:
        """Returns the results with the entries that count: of sources that are still to be read, as they are now."""
        latest = {e.key: e for result in self._results for e in result.entries}
        wanted = {t.key: t.source for t in tasks}
        chosen = [
            (result, [e for e in result.entries if latest[e.key] is e and wanted.get(e.key) == e.source])
            for result in self._results
        ]
        return [(result, entries) for result, entries in chosen if entries]

    def _rename(self, tasks: Iterable[ReadTask]) -> None:
        """Gives runs of different parts different ids; files of points with such runs are written again by executors."""
        chosen = self._chosen(tasks)
        target = _unique_ids([e for _, entries in chosen for e in entries], self._store.ledger)
        changed = [
            (result, entries, ids)
            for result, entries in chosen
            if (ids := {old: new for e in entries for old, new in zip(e.ids, target[e.key], strict=True) if old != new})
        ]
        work = [RenameTask(self._target, r.files, ids, tuple(_others(r, kept))) for r, kept, ids in changed]
        written = rename_parts(self._connection, work, self._progress)
        place = {id(result): at for at, result in enumerate(self._results)}
        for (before, entries, ids), after in zip(changed, written, strict=True):
            named = tuple(replace(e, ids=target[e.key]) for e in entries)
            series = _without(before.series, _others(before, entries)).with_columns(pl.col("run_id").replace(ids))
            self._results[place[id(before)]] = PartResult(after.files, named, series)

    def _add(self, result: PartResult, entries: Sequence[SourceEntry], change: StoreChange) -> None:
        """Adds what a part became to a change."""
        others = frozenset(_others(result, entries))
        blocks = (as_block(self._store.backend, file) for file in result.files)
        change.files += [replace(block, dropped=others) for block in blocks]
        change.series.append(_without(result.series, others))
        change.entries.update({e.key: e for e in entries})

    def _settle(self, task: ReadTask, change: StoreChange) -> None:
        """Drops the earlier data of a source that was read again; they stay if it cannot be read now."""
        read = change.entries[task.key]
        if task.entry is not None and task.entry.ids and (why := unread_reason(read)) is not None:
            del change.entries[task.key]
            keep_earlier(task, task.entry, why, change)
        else:
            _drop(task.entry, change)


def _drop(entry: SourceEntry | None, change: StoreChange) -> None:
    if entry is not None:
        change.dropped.update(entry.ids)
        change.freed.update(r.id for r in entry.records)


def _others(result: PartResult, entries: Sequence[SourceEntry]) -> list[str]:
    """Returns the runs of a part that do not count."""
    kept = {e.key for e in entries}
    return [run for e in result.entries if e.key not in kept for run in e.ids]


def _without(series: pl.DataFrame, runs: Iterable[str]) -> pl.DataFrame:
    dropped = list(runs)
    return series.filter(pl.col("run_id").is_in(dropped).not_()) if dropped else series


def _unique_ids(entries: Sequence[SourceEntry], ledger: Ledger) -> Mapping[Key, tuple[str, ...]]:
    """Returns the ids of each source's runs, unique among all sources.

    A run whose id an earlier source holds gets one for the time being, as in a local ingest; the store then names both.
    """
    together = Ledger()
    for entry in entries:
        together.put(entry)
    final = together.final_ids({r.id for e in entries for r in e.records})
    ids: dict[Key, tuple[str, ...]] = {}
    for entry in entries:
        free = [(r.id, ledger.free_id(r.id, entry.key)) for r in entry.records]
        ids[entry.key] = tuple(final[entry.key][wanted] if wanted == now else now for wanted, now in free)
    return ids
