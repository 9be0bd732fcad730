"""The ledger: what was read from each source, and the state needed to resume it, remove it or notice that it changed."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import cast

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.errors import SourceLimitError
from sweeplens.readers.protocol import FileStat, Problem, Reading, Resume, RunRecord, Source
from sweeplens.safe_open import confined, open_file
from sweeplens.sources.run_facts import fact_files
from sweeplens.store.runs_frame import unique_ids

__all__ = [
    "FileFingerprint",
    "Key",
    "Ledger",
    "SourceEntry",
    "can_resume",
    "content_of",
    "continued",
    "fingerprint_of",
    "fingerprints_of",
    "is_young",
]

Key = tuple[str, str]
"""(reader, path) of a source: `Source.key`."""

_EDGE_BYTES = 4096
_YOUNG_NANOSECONDS = (60 if os.name == "nt" else 2) * 10**9
"""Longer than the time resolution of any usual file system; a minute on Windows, which has no change time."""
_WHOLE_BYTES = 4 << 20


class FileFingerprint(Struct, frozen=True):
    """A cheap fingerprint of the part of a file that was read: checksums of its first and last bytes."""

    offset: int
    head: int
    tail: int


class SourceEntry(Struct, frozen=True):
    """One source. ``ids`` are the unique ids of ``records``, in the same order."""

    source: Source
    version: int  # of the reader
    records: tuple[RunRecord, ...]
    ids: tuple[str, ...]
    problems: tuple[Problem, ...]  # as the reader gave them
    resume: Resume | None = None
    marks: Mapping[str, FileFingerprint] = field(default_factory=dict[str, FileFingerprint])
    content: int | None = None  # checksum, kept while a change could hide behind equal size and times
    ended: str = ""  # a status, where files beside the source say how its run ended; after a line break why
    grows: bool = False  # whether a program was seen to write it, and not only to put it there
    scored: bool = False  # whether files beside the source report scores, which are among its points
    warnings: tuple[str, ...] | None = None  # in printed logs beside the source; None if there is none

    @property
    def key(self) -> Key:
        """Returns the key of the source."""
        return self.source.key

    @property
    def shown_problems(self) -> tuple[Problem, ...]:
        """Returns the problems, under the run's unique id if the source has only one run."""
        if len(self.ids) != 1 or not self.problems:
            return self.problems
        return tuple(replace(p, run_id=self.ids[0]) for p in self.problems)


class Ledger:
    """Entries by key, with the requested run ids, the young sources (see `is_young`), and a version computed from all."""

    def __init__(self) -> None:
        self._entries: dict[Key, SourceEntry] = {}
        self._wanted: dict[str, set[Key]] = {}
        self.young: set[Key] = set()
        self.changed: set[Key] = set()  # put or removed since the store last wrote
        self._sum = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def get(self, key: Key) -> SourceEntry | None:
        """Returns the entry of a source, or None if it is new."""
        return self._entries.get(key)

    def source(self, key: Key) -> Source | None:
        """Returns the source as it was read."""
        entry = self._entries.get(key)
        return entry.source if entry else None

    def put(self, entry: SourceEntry) -> None:
        """Adds an entry, or replaces the one of the same source."""
        self.remove(entry.key)
        self.changed.add(entry.key)
        self._entries[entry.key] = entry
        for record in entry.records:
            self._wanted.setdefault(record.id, set()).add(entry.key)
        if entry.content is not None:
            self.young.add(entry.key)
        self._sum ^= _digest(entry.source)

    def confirm_unchanged(self, key: Key) -> None:
        """Records that a source's content is unchanged: it is no longer young once its files are old enough."""
        entry = self.get(key)
        if entry is not None and not is_young(entry.source, time.time_ns()):
            self._entries[key] = replace(entry, content=None)
            self.young.discard(key)

    def remove(self, key: Key) -> None:
        """Removes a source; a missing one is no error."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.changed.add(key)
        for record in entry.records:
            holders = self._wanted.get(record.id, set())
            holders.discard(key)
            if not holders:
                self._wanted.pop(record.id, None)
        self.young.discard(key)
        self._sum ^= _digest(entry.source)

    @property
    def sum(self) -> str:
        """Returns the full number from which `version` is made."""
        return str(self._sum)

    @property
    def version(self) -> str:
        """Returns a name for what was read: equal if paths, sizes and times are equal."""
        return f"{self._sum & 0xFFFFFFFF:08x}"

    def version_with(self, stamp: object) -> str:
        """Returns the same with other files that answers rest on; ``stamp``: their paths, sizes and times, or empty."""
        return f"{(self._sum ^ _digest_of(repr(stamp))) & 0xFFFFFFFF:08x}" if stamp else self.version

    def free_id(self, wanted: str, key: Key) -> str:
        """Returns an id that no other source has now: the wanted one if possible."""
        return wanted if self._wanted.get(wanted, set()) <= {key} else f"{wanted}@{key[1]}:{key[0]}"

    def final_ids(self, wanted: set[str]) -> dict[Key, dict[str, str]]:
        """Returns, for each source that wants one of these ids: wanted id -> the id that is unique among all sources."""
        found: dict[Key, dict[str, str]] = {}
        for run_id in wanted:
            keys = sorted(self._wanted.get(run_id, ()), key=lambda k: (k[1], k[0]))
            for key, given in zip(keys, unique_ids([(run_id, k[1]) for k in keys]), strict=True):
                found.setdefault(key, {})[run_id] = given
        return found


def _digest(source: Source) -> int:
    source_text = repr((source.reader, [(f.path, f.size, f.mtime_ns) for f in (*source.files, *source.signs)]))
    return _digest_of(source_text)


def _digest_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def is_young(source: Source, now_ns: int) -> bool:
    """Whether a file changed so recently that the next change could leave it with the same times."""
    files = (*source.files, *fact_files(source))
    return any(max(f.mtime_ns, f.changed_ns) > now_ns - _YOUNG_NANOSECONDS for f in files)


def content_of(source: Source) -> int:
    """Returns a checksum of a source's files: of all bytes of small files, of both ends of large ones."""
    crc = 0
    with confined((source.root,)):
        for entry in (*source.files, *fact_files(source)):
            crc = _content(entry, crc)
    return crc


def _content(entry: FileStat, crc: int) -> int:
    """Returns the checksum continued with a file."""
    try:
        with open_file(entry.path) as stream:
            crc = zlib.crc32(stream.read(_WHOLE_BYTES), crc)
            if entry.size > 2 * _WHOLE_BYTES:
                stream.seek(-_WHOLE_BYTES, os.SEEK_END)
                crc = zlib.crc32(stream.read(_WHOLE_BYTES), crc)
    except (OSError, SourceLimitError):
        crc = zlib.crc32(b"unreadable", crc)
    return crc


def _read_ends(source: Source, resume: Resume) -> dict[str, int]:
    """Returns path -> bytes read, for the files from which a reading resumes."""
    offsets = resume.state.get("offsets")
    if isinstance(offsets, dict):
        own = {f.path for f in source.files}
        ends = ((os.path.join(source.path, n), at) for n, at in cast("dict[str, int]", offsets).items())  # noqa: PTH118
        return {path: at for path, at in ends if at >= 0 and path in own}
    return {source.files[0].path: resume.offset}


def fingerprints_of(source: Source, resume: Resume | None) -> dict[str, FileFingerprint]:
    """Returns fingerprints of the parts that were read, to check later whether a file only grew."""
    if resume is None:
        return {}
    with confined((source.root,)):
        marks = {path: _fingerprint(path, offset) for path, offset in _read_ends(source, resume).items()}
    return {path: mark for path, mark in marks.items() if mark is not None}


def _fingerprint(path: str, offset: int) -> FileFingerprint | None:
    try:
        with open_file(path) as stream:
            head = stream.read(min(offset, _EDGE_BYTES))
            stream.seek(max(0, offset - _EDGE_BYTES))
            tail = stream.read(min(offset, _EDGE_BYTES))
    except (OSError, SourceLimitError):
        return None
    return fingerprint_of(offset, head, tail) if len(tail) == min(offset, _EDGE_BYTES) else None


def fingerprint_of(offset: int, head: bytes, tail: bytes) -> FileFingerprint:
    """Returns the fingerprint of a part from its two ends."""
    return FileFingerprint(offset, zlib.crc32(head[:_EDGE_BYTES]), zlib.crc32(tail[-_EDGE_BYTES:]))


def can_resume(entry: SourceEntry, source: Source, version: int) -> bool:
    """Whether the files of a source only grew since it was read, so that the reading can resume."""
    if entry.resume is None or entry.version != version or len(entry.source.files) != len(source.files):
        return False
    if entry.scored or fact_files(entry.source) != fact_files(source):
        return False  # what such a file says must go with it, and its scores are at the last step
    resume = entry.resume
    with confined((source.root,)):
        if (resume.lines or resume.offset <= _EDGE_BYTES) and _line_continued(source.files[0].path, resume.offset):
            return False
        return all(
            _only_grew(old, new, entry.marks.get(new.path))
            for old, new in zip(entry.source.files, source.files, strict=True)
        )


def _line_continued(path: str, offset: int) -> bool:
    """Whether a last line without a newline, which was taken for complete, has been continued.

    Checked for formats of lines, and for short files, where reading all again costs nothing.
    """
    try:
        with open_file(path) as stream:
            stream.seek(max(0, offset - 1))
            last, following = stream.read(1), stream.read(1)
    except OSError:
        return True
    return offset > 0 and last != b"\n" and following not in (b"\n", b"\r", b"")


def _only_grew(old: FileStat, new: FileStat, mark: FileFingerprint | None) -> bool:
    if old == new:
        return True
    if mark is None or old.path != new.path or old.inode != new.inode or new.size < max(mark.offset, old.size):
        return False
    return _fingerprint(new.path, mark.offset) == mark


def continued(entry: SourceEntry, reading: Reading) -> Reading:
    """Merges a resumed reading with the earlier one: fields that it leaves empty keep their earlier value."""
    records = {r.id: r for r in entry.records}
    for new in reading.runs:
        old = records.get(new.id)
        records[new.id] = _joined(old, new) if old else new
    before = tuple(p for p in entry.problems if p.kind != "torn")
    problems = tuple(dict.fromkeys((*before, *reading.problems)))
    return replace(reading, runs=tuple(records.values()), problems=problems)


def _joined(old: RunRecord, new: RunRecord) -> RunRecord:
    return RunRecord(
        new.id,
        name=new.name or old.name,
        group=new.group or old.group,
        status=new.status or old.status,
        created_at=old.created_at or new.created_at,
        updated_at=max(filter(None, (old.updated_at, new.updated_at)), default=None),
        parent=new.parent or old.parent,
        tags=new.tags or old.tags,
        hyperparameters={**old.hyperparameters, **new.hyperparameters},
        metadata={**old.metadata, **new.metadata},
        non_scalar={**old.non_scalar, **new.non_scalar},
    )
