"""Reads one source with what files beside it report, within the boundary around that source.

read_whole(task, masks=...)              -> all of it, or the failure
read_appended(task, entry, masks=...)    -> what was appended; None where the source must be read as a whole
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.ingest.entries import ReadTask
from sweeplens.ingest.masking import masked_problem
from sweeplens.ingest.reported import described, facts_of, has_scores, with_scores
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.checked import checked
from sweeplens.readers.decoding.zero_steps import numbered
from sweeplens.readers.protocol import Reading
from sweeplens.store.ledger import SourceEntry, continued

__all__ = ["UNREAD", "SourceReading", "read_appended", "read_whole"]

UNREAD = "could not be read as"
"""The beginning of the problem of a source that could not be read at all."""


class SourceReading(Struct, frozen=True):
    """A reading without secrets. ``scored``: whether it has scores from files beside the source."""

    reading: Reading
    scored: bool = False


def read_whole(task: ReadTask, *, masks: bool) -> SourceReading | Failure:
    """Returns all of a source; the failure if it cannot be read. ``masks``: without secrets."""
    work = guarded(lambda: _whole(task, masks=masks), task.source.path, f"{UNREAD} {task.reader.name}")
    return replace(work, problem=masked_problem(work.problem)) if masks and isinstance(work, Failure) else work


def read_appended(task: ReadTask, entry: SourceEntry, *, masks: bool) -> SourceReading | None:
    """Returns what was appended since an entry.

    None if resuming fails, if a step 0 may mean that no step was logged, or if scores move to the new last step.
    """
    work = guarded(lambda: _appended(task, entry, masks=masks), task.source.path, "the reading cannot be resumed")
    return None if isinstance(work, Failure) else work


def _whole(task: ReadTask, *, masks: bool) -> SourceReading:
    reading = numbered(checked(task.reader.read(task.source, None)))
    facts = facts_of(task.source, masks=masks)
    reading, scored = with_scores(task.source, reading, facts)
    return SourceReading(described(reading, facts, masks=masks), scored)


def _appended(task: ReadTask, entry: SourceEntry, *, masks: bool) -> SourceReading | None:
    resumed = checked(task.reader.read(task.source, entry.resume))
    if (resumed.points["step"] == 0).any():
        return None
    reading, facts = checked(continued(entry, resumed)), facts_of(task.source, masks=masks)
    return None if has_scores(reading, facts) else SourceReading(described(reading, facts, masks=masks))
