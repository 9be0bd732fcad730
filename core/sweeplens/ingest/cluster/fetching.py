"""Logs in a bucket, as an executor reads them: fetched into a temporary folder for one part, and named as the client names them.

The client's mirror of a bucket is a folder on the client alone, so paths below it mean nothing here. `fetched` gives sources with
paths of this machine; `as_listed` gives what was read of them the client's paths again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from sweeplens.ingest.cluster.parts import PlacePart
from sweeplens.places.object_place import ObjectPlace
from sweeplens.places.remote import ChangedFileError, RemoteFile
from sweeplens.plain_data import plain_text
from sweeplens.readers.protocol import FileStat, Problem, RunRecord, Source
from sweeplens.store.ledger import SourceEntry

__all__ = ["as_listed", "fetched", "moved"]

_REQUESTS = 8  # at the same time


@contextmanager
def fetched(places: Sequence[PlacePart]) -> Generator[dict[str, str]]:
    """Yields the folder of each place on this machine, by the folder of its mirror. The files are removed afterwards."""
    if not places:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="sweeplens-part-", ignore_cleanup_errors=True) as home:
        folders: dict[str, str] = {}
        for number, place in enumerate(places):
            mirror = os.fsdecode(place.folder)
            folder = Path(home).resolve() / str(number) / Path(mirror).name
            _fetch(place, folder)
            folders[mirror] = str(folder)
        yield folders


def _fetch(place: PlacePart, folder: Path) -> None:
    """Fetches the files of a place. Raises PlaceError if it cannot be read; a file that changed meanwhile is left out."""
    folder.mkdir(parents=True)
    remote = ObjectPlace(place.url, place.shown)
    with ThreadPoolExecutor(_REQUESTS, "fetch") as pool:
        for _ in pool.map(partial(_fetch_file, remote, folder), place.files):
            pass


def _fetch_file(remote: ObjectPlace, folder: Path, file: RemoteFile) -> None:
    path = folder.joinpath(*file.name.split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as stream:
            for data in remote.read(file):
                stream.write(data)
    except ChangedFileError:  # its source becomes a problem, and the next ingest reads it
        path.unlink()
        return
    seconds = max(0.0, min(file.mtime, 4e9))
    os.utime(path, (seconds, seconds))


def moved(source: Source, folders: Mapping[str, str]) -> Source:
    """Returns a source with paths of this machine; the same one if its root is no place."""
    root = folders.get(source.root)
    if root is None:
        return source

    def here(path: str) -> str:
        return root + path[len(source.root) :]

    def stat(file: FileStat) -> FileStat:
        return replace(file, path=here(file.path))

    return replace(
        source,
        root=root,
        path=here(source.path),
        files=tuple(map(stat, source.files)),
        signs=tuple(map(stat, source.signs)),
    )


def as_listed(entry: SourceEntry, source: Source) -> SourceEntry:
    """Returns the entry of a moved source with the client's paths. ``source``: as the client listed it."""
    if entry.source is source:
        return entry
    names = (plain_text(entry.source.root), plain_text(source.root))
    marks = {source.root + path[len(entry.source.root) :]: mark for path, mark in entry.marks.items()}
    return replace(
        entry,
        source=source,
        marks=marks,
        problems=tuple(_problem(p, names) for p in entry.problems),
        records=tuple(_record(r, names) for r in entry.records),
    )


def _problem(problem: Problem, names: tuple[str, str]) -> Problem:
    return replace(problem, file=problem.file.replace(*names), reason=problem.reason.replace(*names))


def _record(record: RunRecord, names: tuple[str, str]) -> RunRecord:
    """Returns a record in which no value names a folder of this machine."""
    hyperparameters, metadata = (_named(values, names) for values in (record.hyperparameters, record.metadata))
    return replace(
        record,
        hyperparameters=cast("Mapping[str, object]", hyperparameters),
        metadata=cast("Mapping[str, object]", metadata),
    )


def _named(value: object, names: tuple[str, str]) -> object:
    if isinstance(value, str):
        return value.replace(*names)
    if isinstance(value, Mapping):
        return {k: _named(v, names) for k, v in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list):
        return [_named(v, names) for v in cast("list[object]", value)]
    return value
