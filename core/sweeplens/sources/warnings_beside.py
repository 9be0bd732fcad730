"""Collects the lines in which a program warned in the printed logs beside a run's main log.

A text log that is itself the main log is read by its reader, which knows where a second training in it begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.protocol import FileStat, Source
from sweeplens.readers.text.warning_lines import joined_warnings, warnings_of
from sweeplens.sources.signs import is_printed_log

__all__ = ["warnings_beside"]

_OF_TRACKERS = re.compile(r"debug(-internal|-cli.*)?\.log")


def warnings_beside(source: Source) -> tuple[str, ...] | None:
    """Returns the warnings in printed logs beside a source; None if there is no such log. One that cannot be read has none."""
    logs = list(_printed_logs(source))
    found = [guarded(partial(_warnings_in, log), log.path, "cannot be read") for log in logs]
    read = [warnings for warnings in found if not isinstance(warnings, Failure)]
    return joined_warnings(*read) if read else None


def _printed_logs(source: Source) -> Iterator[FileStat]:
    own = () if source.reader == "text_logs" else source.files
    for file in (*own, *source.signs):
        name = file.path.replace("\\", "/").rsplit("/", 1)[-1]
        if is_printed_log(name) and not _OF_TRACKERS.fullmatch(name):
            yield file


def _warnings_in(log: FileStat) -> tuple[str, ...]:
    return warnings_of(log.path)[0]
