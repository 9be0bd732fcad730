"""The error boundary around one source: an exception while it is claimed, read or checked becomes a problem of that source.

Inside it readers, and the libraries that they use, may raise any exception. The traceback is logged at debug level.
Errors that the source did not cause (a full disk, no free file descriptors, a cancelled load) are raised.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from sweeplens.cancellation import StoppedError
from sweeplens.errors import FormatError, LimitError
from sweeplens.panics import panics_as_errors
from sweeplens.plain_data import plain_text
from sweeplens.readers.protocol import Problem

__all__ = ["Failure", "error_reason", "guarded", "is_system_error"]

log = logging.getLogger("sweeplens.sources")

T = TypeVar("T")
_SYSTEM_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
_LONGEST = 300  # characters of an error's text


class Failure(Struct, frozen=True):
    """Work on a source that failed. ``is_transient``: it may succeed next time, even if no file changes."""

    problem: Problem
    is_transient: bool = False


def guarded(work: Callable[[], T], path: str, failure: str) -> T | Failure:
    """Returns the result of the work. If it raises: a problem of the file or folder ``path``, with the text ``failure``."""
    try:
        with panics_as_errors():
            return work()
    except (StoppedError, LimitError):
        raise
    except Exception as error:  # the boundary around one source
        if is_system_error(error):
            raise
        log.debug("%s: %s", plain_text(path), failure, exc_info=True)
        problem = Problem(plain_text(path), f"{plain_text(failure)}: {error_reason(error)}")
        return Failure(problem, _is_transient(error))


def is_system_error(error: BaseException) -> bool:
    """Whether the machine caused an error, not the file that was read: a full disk, or too many open files."""
    return isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS


def _is_transient(error: BaseException) -> bool:
    permanent = FormatError | FileNotFoundError | PermissionError  # new permissions change the file's times
    return isinstance(error, MemoryError | OSError) and not isinstance(error, permanent)


def error_reason(error: BaseException) -> str:
    """Returns the first line of an error's text, with its type unless the text is written for users."""
    try:
        text = plain_text(str(error)).strip().partition("\n")[0][:_LONGEST]
    except (ValueError, TypeError, RecursionError):
        text = ""
    if text and (isinstance(error, FormatError | OSError) or type(error) is ValueError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
