"""The tasks of a reading, and the ledger entries made of its results."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

from sweeplens.ingest.masking import without_secrets
from sweeplens.readers.protocol import Reader, Reading, Source
from sweeplens.sources.run_facts import with_facts
from sweeplens.sources.signs import status_by_signs
from sweeplens.store import MemoryStore
from sweeplens.store.ledger import Key, SourceEntry, content_of, fingerprints_of, is_young

__all__ = ["ReadTask", "content_if_young", "described", "entry_of"]

_RECENT = 24 * 3600 * 10**9  # an older change is no evidence of a program that writes now
_COPYING = 5 * 10**9  # the longest that a copy of one file takes, but for very large ones


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


def content_if_young(source: Source) -> int | None:
    return content_of(source) if is_young(source, time.time_ns()) else None


def described(source: Source, reading: Reading, store: MemoryStore) -> Reading:
    """Returns the reading with the facts in files beside the source, and without secrets."""
    described = with_facts(source, reading)
    return described if store.shows_secrets else without_secrets(described)


def entry_of(task: ReadTask, reading: Reading, ids: tuple[str, ...], content: int | None) -> SourceEntry:
    """Returns the ledger entry of a reading."""
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
