"""Limits on what one source of experiments may cost while it is read. The only place where these numbers stand.

A source that goes beyond one of them becomes a problem with a sentence (`SourceLimitError`); the other sources are read.
The limits are far above what training writes, and low enough for a machine that serves many.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from sweeplens.errors import SourceLimitError

__all__ = [
    "ARCHIVE_BYTES",
    "CONFIG_BYTES",
    "DOCUMENT_BYTES",
    "INFLATED_BYTES",
    "LINE_BYTES",
    "MAX_CONTAINERS",
    "MAX_POINTS",
    "PIECE_BYTES",
    "RECORD_BYTES",
    "YAML_BYTES",
    "YAML_VALUES",
    "check_inflation",
    "check_time",
    "time_limit",
]

PIECE_BYTES = 1 << 20
"""Bytes that are asked for at once: address space is taken for what is there, not for what might be."""

CONFIG_BYTES = 8 << 20
"""A configuration. Real ones have kilobytes; one with 100,000 classes has 4 MB."""

YAML_BYTES = 2 << 20
"""YAML text. Its parser takes a microsecond a character and more."""

YAML_VALUES = 100_000
"""Values in a YAML document. The parser takes 40 microseconds for each."""

DOCUMENT_BYTES = 512 << 20
"""A file that must be in memory as a whole (one JSON document). Logs of lines are read in pieces, and may be larger."""

MAX_CONTAINERS = 20_000_000
"""Lists and objects in one JSON document: each takes about 100 bytes, though it may be written with two."""

LINE_BYTES = 64 << 20
"""One line of a log or a table. The longest that training writes (a whole history in one line) have a few megabytes."""

RECORD_BYTES = 256 << 20
"""One record of a binary log. Graphs and images in event files may have tens of megabytes."""

ARCHIVE_BYTES = 64 << 20
"""An archive (``.npz``): its directory is read as a whole, and takes ten times its bytes."""

INFLATED_BYTES = 8 << 30
"""What one compressed file may become, however large it is."""

MAX_POINTS = 250_000_000
"""Points of one source that is read row by row."""

_FREE_INFLATION = 64 << 20  # up to here the ratio does not matter: a few repeated lines compress very well
_MAX_RATIO = 150  # logs reach 10 to 60
_BASE_SECONDS, _BYTES_PER_SECOND, _MAX_SECONDS = 120.0, 256 << 10, 7200.0

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


@contextmanager
def time_limit(size: int) -> Generator[None]:
    """What is read inside has two minutes, and a second more for each 256 KB of ``size``; `check_time` ends it."""
    seconds = min(_BASE_SECONDS + size / _BYTES_PER_SECOND, _MAX_SECONDS)
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time() -> None:
    """Raise SourceLimitError where the time for the source is over. Called with each piece that is read."""
    if time.monotonic() > _deadline.get():
        raise SourceLimitError("reading it takes too long: given up. It is read again when it changes.")


def check_inflation(size: int, packed: int) -> None:
    """Raise SourceLimitError where ``packed`` bytes of a compressed file have become implausibly many."""
    if size > INFLATED_BYTES:
        raise SourceLimitError(f"it inflates to more than {INFLATED_BYTES >> 30} GB: not read")
    if size > _FREE_INFLATION and size > packed * _MAX_RATIO:
        raise SourceLimitError(
            f"it inflates to more than {_MAX_RATIO} times its size ({packed:,} bytes became {size:,}): not read"
        )
