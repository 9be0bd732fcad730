"""Logs one JSON object per line to stderr, never to stdout, with control characters escaped.

Each log call in the code writes at most twenty lines in ten seconds. Further lines are counted, and the next one written has
their number (``unwritten``), so that no client can fill a disk.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from sweeplens_mcp.render.cells import json_line

__all__ = ["LEVELS", "announce", "log_to_stderr"]

_MOST_LINES, _WINDOW_SECONDS = 20, 10.0
LEVELS = ("debug", "info", "warning", "error")


class _RateLimited(logging.Filter):
    """Passes a limited number of records per log call and time, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._since: dict[tuple[str, int, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a record."""
        place, now = (record.pathname, record.lineno, record.levelno), self._clock()
        since, count = self._since.get(place, (now, 0))
        if now - since >= _WINDOW_SECONDS:
            record.unwritten = max(0, count - _MOST_LINES)
            since, count = now, 0
        self._since[place] = since, count + 1
        return count < _MOST_LINES


class _JsonLinesFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if unwritten := getattr(record, "unwritten", 0):
            line["unwritten"] = unwritten
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json_line(line)


def log_to_stderr(level: str = "warning") -> None:
    """Sets up logging, unless it is set up already; uncaught errors are logged too."""
    root = logging.getLogger()
    if root.handlers:
        return
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLinesFormatter())
    if level != "debug":
        handler.addFilter(_RateLimited())
    root.addHandler(handler)
    root.setLevel(level.upper())


def announce(text: str) -> None:
    """Logs a line at every log level, for the server's address."""
    for handler in logging.getLogger().handlers:
        handler.handle(logging.LogRecord("sweeplens_mcp", logging.INFO, __file__, 0, text, None, None))


def _uncaught(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, at)
    else:
        logging.getLogger("sweeplens_mcp").critical("%s ended the process", kind.__name__, exc_info=(kind, error, at))


def _uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    name = given.thread.name if given.thread else "a thread"
    if given.exc_value is not None:
        found = (given.exc_type, given.exc_value, given.exc_traceback)
        logging.getLogger("sweeplens_mcp").error(
            "%s ended the thread %s", given.exc_type.__name__, name, exc_info=found
        )
