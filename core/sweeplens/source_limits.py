"""All limits on size and time for reading one source.

A source that exceeds one becomes a problem with a sentence (`SourceLimitError`); the other sources are read.
The limits are far above the size of real logs, and low enough for a machine with many users.
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
    "MAX_CELLS",
    "MAX_COLUMNS",
    "MAX_CONTAINERS",
    "MAX_POINTS",
    "MAX_SETTINGS",
    "PIECE_BYTES",
    "RECORD_BYTES",
    "YAML_BYTES",
    "YAML_VALUES",
    "check_inflation",
    "check_time",
    "time_limit",
]

PIECE_BYTES = 1 << 20
"""Bytes read at once, so that memory grows with the data that exist, not with the size that a file claims."""

CONFIG_BYTES = 8 << 20
"""Largest configuration. Real ones have kilobytes; one with 100,000 classes has 4 MB."""

YAML_BYTES = 2 << 20
"""Largest YAML text. Its parser takes a microsecond or more per character."""

YAML_VALUES = 100_000
"""Most values in a YAML document. The parser takes 40 microseconds for each."""

DOCUMENT_BYTES = 512 << 20
"""Largest file that must be in memory as a whole (one JSON document). Logs of lines are read in pieces and may be larger."""

MAX_SETTINGS = 20_000
"""Most hyperparameters of one run. Each is a column of the runs table, and half a millisecond in a question about all of them."""

MAX_COLUMNS = 20_000
"""Most hyperparameters of all runs together: each run alone may have few, and all have different ones."""

MAX_CELLS = 50_000_000
"""Most hyperparameters times runs. Runs of real sweeps have nearly the same hyperparameters, at most some thousands."""

MAX_CONTAINERS = 20_000_000
"""Most lists and objects in one JSON document: each takes about 100 bytes in memory, but as little as two in the file."""

LINE_BYTES = 64 << 20
"""Longest line of a log or a table. Real ones (a whole history in one line) have at most a few megabytes."""

RECORD_BYTES = 256 << 20
"""Largest record of a binary log. Graphs and images in event files may have tens of megabytes."""

ARCHIVE_BYTES = 64 << 20
"""Largest archive (``.npz``): its directory is read as a whole, and takes ten times its size in memory."""

INFLATED_BYTES = 8 << 30
"""Largest decompressed size of one file."""

MAX_POINTS = 250_000_000
"""Most points of one source that is read row by row."""

_FREE_INFLATION = 64 << 20  # below this the ratio is not checked: a few repeated lines compress very well
_MAX_RATIO = 150  # real logs reach 10 to 60
_BASE_SECONDS, _BYTES_PER_SECOND, _MAX_SECONDS = 120.0, 256 << 10, 7200.0

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


@contextmanager
def time_limit(size: int) -> Generator[None]:
    """Limits the time for reading to two minutes, plus a second for each 256 KB of ``size``; `check_time` enforces it."""
    seconds = min(_BASE_SECONDS + size / _BYTES_PER_SECOND, _MAX_SECONDS)
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time() -> None:
    """Raises SourceLimitError after the time limit of the source. Called for each piece that is read."""
    if time.monotonic() > _deadline.get():
        raise SourceLimitError("reading it took too long and was stopped. It is read again when it changes.")


def check_inflation(size: int, packed: int) -> None:
    """Raises SourceLimitError if ``packed`` compressed bytes have become implausibly many."""
    if size > INFLATED_BYTES:
        raise SourceLimitError(f"it decompresses to more than {INFLATED_BYTES >> 30} GB: not read")
    if size > _FREE_INFLATION and size > packed * _MAX_RATIO:
        raise SourceLimitError(
            f"it decompresses to more than {_MAX_RATIO} times its size ({packed:,} bytes became {size:,}): not read"
        )
