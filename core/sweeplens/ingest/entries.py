"""The tasks of a reading, and the ledger entries made of its results."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from msgspec import Struct

from sweeplens.ingest.masking import masked
from sweeplens.ingest.reported import described, facts_of, has_scores
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.checked import checked
from sweeplens.readers.protocol import AppendedReading, Reader, Reading, Resume, Source
from sweeplens.safe_open import confined
from sweeplens.source_limits import time_limit
from sweeplens.sources.signs import end_by_signs
from sweeplens.sources.warnings_beside import warnings_beside
from sweeplens.store import MemoryStore
from sweeplens.store.ledger import Key, SourceEntry, content_of, continued, fingerprints_of, is_young

__all__ = [
    "ReadTask",
    "content_if_young",
    "continued_with",
    "entry_of",
    "resume_of",
    "within_limits",
]

_RECENT = 24 * 3600 * 10**9  # an older change is no evidence of a program that writes now
_COPYING = 5 * 10**9  # the longest that a copy of one file takes, but for very large ones


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


def content_if_young(source: Source) -> int | None:
    """Returns a checksum of the content of a source that was written to just now, when times do not tell versions apart."""
    return content_of(source) if is_young(source, time.time_ns()) else None


def entry_of(task: ReadTask, reading: Reading, ids: tuple[str, ...], content: int | None, scored: bool) -> SourceEntry:
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
        ended=_ended(task.source) if task.source.signs else "",
        grows=_grows(task),
        scored=scored,
        warnings=_warnings(task.source) if len(ids) == 1 else None,
    )


def _ended(source: Source) -> str:
    """Returns the status that files beside the source tell, and after a line break their words for a bad end."""
    end = end_by_signs(source)
    return str(masked(f"{end.status}\n{plain_text(end.words)}")) if end.words else end.status


def _warnings(source: Source) -> tuple[str, ...] | None:
    """Returns the warnings in printed logs beside a source, without secrets; None if there is no such log."""
    found = warnings_beside(source)
    return None if found is None else tuple(cast("list[str]", masked([plain_text(w) for w in found])))


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


def resume_of(task: ReadTask) -> Resume:
    """Returns where the reading of a source that grew goes on."""
    assert task.entry is not None
    assert task.entry.resume is not None  # it could not be resumed otherwise
    return task.entry.resume


def continued_with(task: ReadTask, many: AppendedReading, store: MemoryStore) -> Reading | None:
    """Returns the whole reading of a source of which the end was read with others; None where it must be read alone."""
    resumed, entry = many.readings.get(task.source.path), task.entry
    if resumed is None or entry is None:
        return None
    whole = guarded(
        lambda: _continued(task.source, entry, resumed, masks=not store.shows_secrets),
        task.source.path,
        "the reading cannot be resumed",
    )
    return None if isinstance(whole, Failure) else whole


def _continued(source: Source, entry: SourceEntry, resumed: Reading, *, masks: bool) -> Reading | None:
    whole, facts = checked(continued(entry, resumed)), facts_of(source, masks=masks)
    moves = has_scores(whole, facts)  # scores move to the new last step
    return None if moves else described(whole, facts, masks=masks)
