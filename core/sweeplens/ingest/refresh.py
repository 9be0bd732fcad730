"""Brings the store up to date with the folders. Unchanged sources are not opened; changed ones are read (see `read`).

A source that only grew is read from the end of its last reading, and its series are continued. After any other
change it is read again as a whole, and its earlier data are dropped in the same step.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.errors import StoreError
from sweeplens.ingest.entries import ReadTask
from sweeplens.ingest.masking import masked
from sweeplens.ingest.read import Progress, read_all
from sweeplens.readers import all_readers
from sweeplens.readers.protocol import Problem, Reader, Source
from sweeplens.sources.discover import Discovery, discover, discovering
from sweeplens.store import MemoryStore, Snapshot, StoreChange
from sweeplens.store.ledger import Key, can_resume, content_of

__all__ = ["LoadReport", "Progress", "ingest", "load_report", "plan_changes"]

log = logging.getLogger("sweeplens.store")


class LoadReport(Struct, frozen=True):
    """The result of a load. ``problems`` includes those of earlier loads."""

    n_runs: int
    n_points: int
    n_files: int
    n_malformed: int
    problems: tuple[Problem, ...]
    seconds: float


def ingest(roots: Sequence[Path], store: MemoryStore, *, progress: Progress | None = None) -> LoadReport:
    """Brings the store up to date with the folders. Content of the store that cannot be decoded is read again."""
    began = time.perf_counter()
    store.mask = masked
    with store.updating():
        try:
            _update(roots, store, progress)
        except StoreError as error:
            store.forget(error)
            _update(roots, store, progress)
    return load_report(store.snapshot, time.perf_counter() - began)


def _update(roots: Sequence[Path], store: MemoryStore, progress: Progress | None) -> None:
    if store.is_new:
        _read_everything(roots, store, progress)
    else:
        _read_changes(roots, store, progress)


def _read_everything(roots: Sequence[Path], store: MemoryStore, progress: Progress | None) -> None:
    """Reads everything for the first time; reading starts while the walk still finds more."""
    readers = {r.name: r for r in all_readers()}
    sources = discovering(roots, readers.values(), memory=store.remembered)
    change = read_all((ReadTask(s, readers[s.reader]) for s in sources), (), store, progress)
    found = store.remembered.found
    assert found is not None  # the walk is complete
    _name_copies(change, found)
    store.apply(change, found)


def _name_copies(change: StoreChange, found: Discovery) -> None:
    """Gives sources that were read during the walk the copies in other folders that were found after them."""
    for source in found.sources:
        entry = change.entries.get(source.key)
        if entry is not None and entry.source is not source and entry.source != source:
            change.entries[source.key] = replace(entry, source=source)


def _read_changes(roots: Sequence[Path], store: MemoryStore, progress: Progress | None) -> None:
    readers = {r.name: r for r in all_readers()}
    found = discover(roots, readers.values(), memory=store.remembered)
    tasks, gone = plan_changes(found, store, readers)
    if tasks or gone or found is not store.found:
        store.apply(read_all(tasks, gone, store, progress), found)


def plan_changes(
    found: Discovery, store: MemoryStore, readers: Mapping[str, Reader]
) -> tuple[list[ReadTask], list[Key]]:
    """Returns the sources that must be read, and those that are gone."""
    tasks: list[ReadTask] = []
    gone: list[Key] = []
    ledger = store.ledger
    if found is not store.found:
        before = {id(s) for s in store.found.sources} if store.found else set[int]()
        changed = [s for s in found.sources if id(s) not in before and _is_changed(s, ledger.source(s.key))]
        entries = [ledger.get(s.key) for s in changed]
        going_on = store.with_points([i for entry in entries if entry is not None for i in entry.ids])
        for source, entry in zip(changed, entries, strict=True):
            reader = readers[source.reader]
            resumes = (
                entry is not None and not going_on.isdisjoint(entry.ids) and can_resume(entry, source, reader.version)
            )
            tasks.append(ReadTask(source, reader, entry, resumes))
        present = {s.key for s in found.sources}
        gone = [key for key in ledger if key not in present]
    seen = {t.key for t in tasks} | set(gone)
    return [*tasks, *_changed_young(store, seen, readers)], gone


def _is_changed(source: Source, known: Source | None) -> bool:
    return known is not source and known != source


def _changed_young(store: MemoryStore, seen: set[Key], readers: Mapping[str, Reader]) -> list[ReadTask]:
    """Returns young sources whose content changed although sizes and times are equal."""
    tasks: list[ReadTask] = []
    for key in store.ledger.young - seen:
        entry = store.ledger.get(key)
        if entry is None:
            continue
        if content_of(entry.source) != entry.content:
            tasks.append(ReadTask(entry.source, readers[entry.source.reader], entry, resumes=False))
        else:
            store.ledger.confirm_unchanged(key)
    return tasks


def load_report(snapshot: Snapshot, seconds: float) -> LoadReport:
    """Returns what a load found."""
    return LoadReport(
        n_runs=snapshot.runs.height,
        n_points=int(snapshot.series["n_logged"].sum()),
        n_files=sum(len(s.files) for s in snapshot.sources),
        n_malformed=sum(p.kind == "malformed" for p in snapshot.problems),
        problems=snapshot.problems,
        seconds=seconds,
    )
