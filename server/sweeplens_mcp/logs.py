"""Logs: one JSON object a line on stderr, never on stdout, and nothing in them that a log file may not hold.

What one place in the code logs is bounded: beyond twenty lines in ten seconds its lines are counted, and the next that is
written says how many there were (``unwritten``), so that no client can fill a disk.
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

_MOST_IN_A_WHILE, _WHILE_SECONDS = 20, 10.0
LEVELS = ("debug", "info", "warning", "error")


class _Bounded(logging.Filter):
    """Lets so many records of one place in the code pass in a while, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._since: dict[tuple[str, int, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        place, now = (record.pathname, record.lineno, record.levelno), self._clock()
        since, count = self._since.get(place, (now, 0))
        if now - since >= _WHILE_SECONDS:
            record.unwritten = max(0, count - _MOST_IN_A_WHILE)
            since, count = now, 0
        self._since[place] = since, count + 1
        return count < _MOST_IN_A_WHILE


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
    """Set up logging, once and before anybody else does; errors that nobody caught are logged too."""
    root = logging.getLogger()
    if root.handlers:
        return
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLinesFormatter())
    if level != "debug":
        handler.addFilter(_Bounded())
    root.addHandler(handler)
    root.setLevel(level.upper())


def announce(text: str) -> None:
    """A line that is told at every level: where the server is to be found."""
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
