"""The boundary around one source: whatever goes wrong while it is claimed, read or checked becomes a problem of that source.

The one place where readers, and the libraries that they use, may raise anything. The traceback is logged at debug level.
What is not the source's fault (a full disk, no more descriptors, a load that was stopped) goes through.
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

__all__ = ["Failure", "contained", "is_of_the_machine", "what_was_wrong"]

log = logging.getLogger("sweeplens.sources")

T = TypeVar("T")
_OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
_LONGEST = 300  # characters of an error's own words


class Failure(Struct, frozen=True):
    """Work on a source that did not succeed. ``passing``: the next time it may, though no file changes."""

    problem: Problem
    passing: bool = False


def contained(work: Callable[[], T], place: str, doing: str) -> T | Failure:
    """What the work gives; where it raises, a problem of the file or folder ``place``: ``doing`` and what was wrong."""
    try:
        with panics_as_errors():
            return work()
    except (StoppedError, LimitError):
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        log.debug("%s: %s", plain_text(place), doing, exc_info=True)
        problem = Problem(plain_text(place), f"{plain_text(doing)}: {what_was_wrong(error)}")
        return Failure(problem, _is_passing(error))


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error says nothing of the file that was read: the disk is full, or no more files can be opened."""
    return isinstance(error, OSError) and error.errno in _OF_THE_MACHINE


def _is_passing(error: BaseException) -> bool:
    lasting = FormatError | FileNotFoundError | PermissionError  # new permissions change the file's times
    return isinstance(error, MemoryError | OSError) and not isinstance(error, lasting)


def what_was_wrong(error: BaseException) -> str:
    """The first line of an error's words, and its type where they may not tell enough."""
    try:
        words = plain_text(str(error)).strip().partition("\n")[0][:_LONGEST]
    except (ValueError, TypeError, RecursionError):
        words = ""
    if words and (isinstance(error, FormatError | OSError) or type(error) is ValueError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
