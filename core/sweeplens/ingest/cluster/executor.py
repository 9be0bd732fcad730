"""The work of one task on an executor. Bytes come in and go out; points go to files of the store, never to the client.

The readers and the boundaries around them are those of a local ingest (`ingest.read`): a source that cannot be read
becomes a problem.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import polars as pl

from sweeplens.errors import EngineError
from sweeplens.frames.schemas import empty_series
from sweeplens.ingest.cluster.fetching import as_listed, fetched, moved
from sweeplens.ingest.cluster.parts import PartResult, RenameTask, SourcePart, StoreTarget
from sweeplens.ingest.read import ReadTask, read_all
from sweeplens.readers import all_readers
from sweeplens.readers.protocol import Source
from sweeplens.store.backends.backend import StoreBackend, TableFile
from sweeplens.store.backends.local import LocalBackend
from sweeplens.store.blocks import FileBlock, scan_files
from sweeplens.store.files import as_block, write_points
from sweeplens.store.memory import MemoryStore

__all__ = ["read_part", "rename_runs"]

_FILE_ROWS = 300_000  # fewer points are kept until the end of the part


def read_part(data: bytes) -> bytes:
    """Reads a part of the sources and writes their points. Returns files, entries and series."""
    part = SourcePart.unpacked(data)
    store = _PartStore(part.target)
    with fetched(part.places) as folders:
        listed = {(here := moved(source, folders)).key: (here, source, version) for source, version in part.sources}
        _check_roots({here.root for here, _, _ in listed.values()})
        change = read_all(_tasks([(here, version) for here, _, version in listed.values()]), (), store, None)
    if points := [f for f in change.points if f.height]:
        store.write(pl.concat(points))
    entries = tuple(as_listed(entry, listed[key][1]) for key, entry in change.entries.items())
    return PartResult(tuple(store.written), entries, pl.concat([empty_series(), *change.series])).packed()


def rename_runs(data: bytes) -> bytes:
    """Writes files again with other ids of runs. Returns a result with the new files alone."""
    task = RenameTask.unpacked(data)
    store = _PartStore(task.target)
    name, kept = pl.col("run_id").replace(dict(task.ids)), pl.col("run_id").is_in(list(task.dropped)).not_()
    for file in task.files:
        points = scan_files([as_block(store.backend, file)]).filter(kept).with_columns(name).collect()
        if points.height:
            store.write(points)
    return PartResult(tuple(store.written), (), empty_series()).packed()


class _PartStore(MemoryStore):
    """Writes points to files of the store at once, and notes the files."""

    def __init__(self, target: StoreTarget) -> None:
        super().__init__()
        self.shows_secrets = target.shows_secrets
        self.backend = _backend(target)
        self.written: list[TableFile] = []
        self._write = partial(write_points, self.backend, mark=target.mark)

    def spill(self, points: pl.DataFrame, *, ordered: bool = False) -> FileBlock | None:
        """Writes many points to a file. Returns None if they are few."""
        return as_block(self.backend, self.write(points, ordered=ordered)) if points.height >= _FILE_ROWS else None

    def write(self, points: pl.DataFrame, *, ordered: bool = False) -> TableFile:
        """Writes points to a file."""
        file = self._write(points, ordered=ordered)
        self.written.append(file)  # several threads write
        return file


def _tasks(sources: Iterable[tuple[Source, int]]) -> Iterable[ReadTask]:
    readers = {r.name: r for r in all_readers()}
    for source, version in sources:
        reader = readers.get(source.reader)
        if reader is None or reader.version != version:
            raise EngineError(
                f"The executor {socket.gethostname()} has no reader {source.reader!r} of version {version}: install there the "
                "packages with readers that this machine has."
            )
        yield ReadTask(source, reader)


def _check_roots(roots: Iterable[str]) -> None:
    """Raises EngineError for a folder that this executor does not see: its sources would all be problems."""
    for root in roots:
        if not os.path.isdir(root):  # noqa: PTH112 - a path as the system gives it
            raise EngineError(
                f"The executor {socket.gethostname()} does not see the folder {root!r}: mount it there under the same path."
            )


def _backend(target: StoreTarget) -> StoreBackend:
    address = os.fsdecode(target.address)
    if "://" not in address:
        return LocalBackend(Path(address), shared=target.shared)
    from sweeplens.store.backends.object_store import ObjectBackend

    return ObjectBackend(address)
