"""What a task takes and returns, as bytes: a part of the sources, and the entries, series and files that come of it.

Each part is read by one task, perhaps more than once: Spark tries a task again when its executor is lost. Every attempt
writes files under names of its own, and only the result of the attempt that succeeded is used.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import polars as pl
from msgspec import Struct

from sweeplens.errors import EngineError, StoreError
from sweeplens.frames.schemas import SERIES_SCHEMA
from sweeplens.places.remote import PlaceListing, RemoteFile
from sweeplens.readers.protocol import Source
from sweeplens.store.backends.backend import TableFile
from sweeplens.store.ledger import SourceEntry
from sweeplens.store.names import is_own_name
from sweeplens.store.serialization import pack_entry, unpack_entry

__all__ = ["PartResult", "PlacePart", "RenameTask", "SourcePart", "StoreTarget", "parts_of"]

PART_BYTES = 24 << 20
"""Size of the files that one task reads: their points make a file large enough to stay as it is."""
PART_SOURCES = 4_000


class StoreTarget(Struct, frozen=True):
    """The store as executors write to it. ``mark``: the beginning of the names of all files of one ingest."""

    address: bytes
    mark: str
    shared: bool = False
    shows_secrets: bool = False

    @classmethod
    def at(cls, address: str, mark: str, *, shared: bool, shows_secrets: bool) -> StoreTarget:
        """Returns the target for an address, which may be a path that is not Unicode."""
        return cls(os.fsencode(address), mark, shared, shows_secrets)


class PlacePart(Struct, frozen=True):
    """The files of one part that an executor fetches from a bucket. ``folder``: the mirror that their paths begin with."""

    folder: bytes
    url: str
    shown: str
    files: tuple[RemoteFile, ...]


class _PartForm(Struct, array_like=True):
    target: StoreTarget
    sources: list[bytes]
    places: tuple[PlacePart, ...]


class SourcePart(Struct, frozen=True):
    """Sources that one task reads, with the versions of their readers."""

    target: StoreTarget
    sources: tuple[tuple[Source, int], ...]
    places: tuple[PlacePart, ...] = ()

    def packed(self) -> bytes:
        """Returns the part as bytes."""
        entries = [pack_entry(SourceEntry(source, version, (), (), ())) for source, version in self.sources]
        return msgspec.msgpack.encode(_PartForm(self.target, entries, self.places))

    @classmethod
    def unpacked(cls, data: bytes) -> SourcePart:
        """Returns the part from its bytes."""
        form = msgspec.msgpack.decode(data, type=_PartForm)
        entries = map(unpack_entry, form.sources)
        return cls(form.target, tuple((e.source, e.version) for e in entries), form.places)


class _ResultForm(Struct, array_like=True):
    files: list[TableFile]
    entries: list[bytes]
    series: bytes


class PartResult(Struct, frozen=True, eq=False):
    """What a part became: files of points, the ledger entries of its sources, and one row for each series."""

    files: tuple[TableFile, ...]
    entries: tuple[SourceEntry, ...]
    series: pl.DataFrame

    def packed(self) -> bytes:
        """Returns the result as bytes."""
        stream = io.BytesIO()
        self.series.write_ipc(stream, compression="zstd")
        return msgspec.msgpack.encode(
            _ResultForm(list(self.files), [*map(pack_entry, self.entries)], stream.getvalue())
        )

    @classmethod
    def unpacked(cls, data: bytes) -> PartResult:
        """Returns the result from its bytes. Raises EngineError if they are something else."""
        try:
            form = msgspec.msgpack.decode(data, type=_ResultForm)
            series = pl.read_ipc(form.series, use_pyarrow=False).cast(pl.Schema(SERIES_SCHEMA))
            entries = tuple(map(unpack_entry, form.entries))
        except (msgspec.MsgspecError, pl.exceptions.PolarsError, StoreError) as error:
            raise EngineError(f"An executor returned something else than a result: {error}.") from error
        if odd := [f.path for f in form.files if not is_own_name(f.path, "points")]:
            raise EngineError(f"An executor returned something else than a result: {odd[0]!r} names no file of points.")
        return cls(tuple(form.files), entries, series)


class RenameTask(Struct, frozen=True):
    """Files of a part that are written again, with other ids for some of its runs, and without the dropped ones."""

    target: StoreTarget
    files: tuple[TableFile, ...]
    ids: Mapping[str, str]
    dropped: tuple[str, ...] = ()

    def packed(self) -> bytes:
        """Returns the task as bytes."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpacked(cls, data: bytes) -> RenameTask:
        """Returns the task from its bytes."""
        return msgspec.msgpack.decode(data, type=cls)


def parts_of(
    sources: Iterable[tuple[Source, int]], target: StoreTarget, places: Sequence[PlaceListing] = ()
) -> list[SourcePart]:
    """Returns the sources in parts of at most `PART_BYTES`, or of one source that is larger, in their order.

    ``places``: the roots that executors fetch from buckets; they see all others as folders.
    """
    parts: list[list[tuple[Source, int]]] = []
    size = 0
    for source, version in sources:
        own = sum(f.size for f in source.files)
        if not parts or size + own > PART_BYTES or len(parts[-1]) >= PART_SOURCES:
            parts.append([])
            size = 0
        parts[-1].append((source, version))
        size += own
    return [SourcePart(target, tuple(part), _places_of([s for s, _ in part], places)) for part in parts]


def _places_of(sources: Sequence[Source], places: Sequence[PlaceListing]) -> tuple[PlacePart, ...]:
    """Returns the files of these sources that lie in buckets, and the files beside them that tell more of their runs."""
    found: list[PlacePart] = []
    for place in places:
        mine = (s for s in sources if s.root == place.folder)
        names = dict.fromkeys(f.path[len(place.folder) + 1 :] for s in mine for f in (*s.files, *s.signs))
        files = tuple(place.files[name] for name in names if name in place.files)
        if files:
            found.append(PlacePart(os.fsencode(place.folder), place.url, place.shown, files))
    return tuple(found)
